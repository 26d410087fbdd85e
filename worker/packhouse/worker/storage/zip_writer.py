"""Writing a ZIP file in one pass over its sources: deterministic, in constant memory, and about as fast as a copy.

Sizes and CRC stand in the local headers, which are completed after the data: some readers refuse data descriptors.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from isal import isal_zlib

from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.worker.storage.deflating import deflated, deflator
from packhouse.worker.storage.digest import FileDigest, Hasher
from packhouse.worker.storage.failures import not_read
from packhouse.worker.storage.zip_format import (
    DEFLATED,
    STORED,
    Entry,
    central_header,
    end_records,
    is_wide,
    local_header,
)

CHUNK: Final = 1 << 20
"""Bytes read at a time. Deflated bytes depend on it, so it is part of what makes archives equal."""


class ZipWriter:
    """Writes entries in the order given to a seekable descriptor, from its beginning, whose position it ignores.

    Equal entries give equal bytes. Nothing is a ZIP file before ``finish``. Raises ``OSError`` for errors of writing.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._at = 0
        self._entries: list[Entry] = []
        self._buffers = [memoryview(bytearray(CHUNK)) for _ in range(Hasher.BEHIND + 1)]

    def add_bytes(self, path: str, data: bytes, *, deflate: bool = False) -> FileDigest:
        """Add a file of the bytes given."""
        packed = deflated(data) if deflate else data
        digest = FileDigest.of(data)
        method = DEFLATED if deflate else STORED
        entry = Entry(path, method, self._at, is_wide(len(data), method), digest.crc32, len(data), len(packed))
        self._write(local_header(entry))
        self._write(packed)
        self._entries.append(entry)
        return digest

    def add_file(
        self,
        path: str,
        fd: int,
        size: int,
        *,
        deflate: bool = False,
        known: FileDigest | None = None,
        advance: Callable[[int], None] = lambda _: None,
        shown: str = "",
    ) -> FileDigest:
        """Add the bytes of an open file that has ``size`` of them, from its beginning; its position does not move.

        With ``known`` digests the bytes are not digested again. ``advance`` hears of every chunk's bytes and may
        raise. ``shown`` is what errors call the source. Returns the digests.

        Raises ``PermanentError`` (``model_changed``) when there are more or fewer bytes, or the file is written to
        meanwhile, and what ``not_read`` says when it cannot be read.
        """
        shown = shown or path
        method = DEFLATED if deflate else STORED
        entry = Entry(path, method, self._at, is_wide(size, method))
        source = _Source(fd, size, known.size if known else size, shown)
        self._write(local_header(entry))
        begin = self._at
        digest = self._pour(source, deflator() if deflate else None, known, advance)
        source.must_be_unchanged()
        entry = replace(entry, crc32=digest.crc32, size=size, packed=self._at - begin)
        self._write_at(local_header(entry), entry.offset)
        self._entries.append(entry)
        return digest

    def finish(self) -> int:
        """Write the directory. Returns the bytes of the whole archive."""
        start = self._at
        block = bytearray()
        for entry in self._entries:
            block += central_header(entry)
            if len(block) >= CHUNK:
                self._write(block)
                block.clear()
        self._write(block)
        self._write(end_records(len(self._entries), start, self._at - start))
        return self._at

    def _pour(
        self, source: _Source, packer: Any, known: FileDigest | None, advance: Callable[[int], None]
    ) -> FileDigest:
        crc = 0
        with Hasher(threaded=source.size > CHUNK) as hasher:
            for turn, at in enumerate(range(0, source.size, CHUNK)):
                buffer = self._buffers[turn % len(self._buffers)]
                chunk = source.read(buffer[: min(CHUNK, source.size - at)], at)
                if known is None:
                    hasher.update(chunk)
                    crc = isal_zlib.crc32(chunk, crc)
                self._write(chunk if packer is None else packer.compress(chunk))
                advance(len(chunk))
            if packer is not None:
                self._write(packer.flush())
            return known or FileDigest(hasher.hexdigest(), crc, source.size)

    def _write(self, data: bytes | bytearray | memoryview) -> None:
        self._write_at(data, self._at)
        self._at += len(data)

    def _write_at(self, data: bytes | bytearray | memoryview, at: int) -> None:
        with memoryview(data) as view:
            done = 0
            while done < len(view):
                done += os.pwrite(self._fd, view[done:], at + done)


class _Source:
    """A file that must stay as it is while it is read."""

    def __init__(self, fd: int, size: int, known_size: int, shown: str) -> None:
        self._fd = fd
        self.size = size
        self._shown = shown
        self._modified = os.fstat(fd).st_mtime_ns
        if known_size != size:
            raise self._changed(f"{known_size} bytes were digested")
        self.must_be_unchanged()
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)

    def read(self, buffer: memoryview, at: int) -> memoryview:
        """Fill the buffer, however little the system gives at a time: what is deflated must come in equal pieces."""
        done = 0
        while done < len(buffer):
            try:
                count = os.preadv(self._fd, [buffer[done:]], at + done)
            except OSError as error:
                raise not_read(error, self._shown, ErrorCode.MODEL_MISSING) from error
            if count == 0:
                raise self._changed(f"it ends after {at + done} bytes")
            done += count
        return buffer

    def must_be_unchanged(self) -> None:
        status = os.fstat(self._fd)
        if status.st_size != self.size:
            raise self._changed(f"it has {status.st_size} bytes")
        if status.st_mtime_ns != self._modified:
            raise self._changed("it was written to meanwhile")

    def _changed(self, what: str) -> PermanentError:
        return PermanentError(
            ErrorCode.MODEL_CHANGED,
            f"{self._shown} changed while it was being packaged: {self.size} bytes were announced, {what}.",
            fix="Publish the run again when nothing writes to its models any more, or stage them with --stage-to.",
        )
