"""Writing a ZIP file in one pass over its sources: deterministic, in constant memory, and about as fast as a copy.

Sizes and CRC stand in the local headers, which are completed after the data: some readers refuse data descriptors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from isal import isal_zlib

from packhouse.worker.storage.deflating import Deflator, deflated
from packhouse.worker.storage.digest import FileDigest, Hasher
from packhouse.worker.storage.readable import Readable, model_changed, must_be_unchanged, read_full
from packhouse.worker.storage.sink import Data, Sink
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
    """Writes entries in the order given into a sink.

    Equal entries give equal bytes. Nothing is a ZIP file before ``finish``. Raises what the sink raises.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
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
        source: Readable,
        *,
        deflate: bool = False,
        known: FileDigest | None = None,
        advance: Callable[[int], None] = lambda _: None,
    ) -> FileDigest:
        """Add the bytes of an open file. Returns the digests.

        With ``known`` digests the bytes are not digested again. ``advance`` hears of every chunk's bytes and may
        raise.

        Raises ``PermanentError`` (``model_changed``) when there are more or fewer bytes than the source and ``known``
        announce, or the file is written to meanwhile, and what ``Readable.readinto`` raises.
        """
        if known is not None and known.size != source.size:
            raise model_changed(source, f"{known.size} bytes were digested")
        must_be_unchanged(source)
        source.read_ahead()
        size, method = source.size, DEFLATED if deflate else STORED
        entry = Entry(path, method, self._at, is_wide(size, method))
        header = len(local_header(entry))
        self._sink.leave(header)
        self._at += header
        begin = self._at
        digest = self._pour(source, Deflator() if deflate else None, known, advance)
        must_be_unchanged(source)
        entry = replace(entry, crc32=digest.crc32, size=size, packed=self._at - begin)
        self._sink.fill(local_header(entry))
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
        self, source: Readable, packer: Deflator | None, known: FileDigest | None, advance: Callable[[int], None]
    ) -> FileDigest:
        crc = 0
        with Hasher(threaded=source.size > CHUNK) as hasher:
            for turn, at in enumerate(range(0, source.size, CHUNK)):
                buffer = self._buffers[turn % len(self._buffers)]
                # What is deflated must come in equal pieces, however little is read at a time.
                chunk = read_full(source, buffer[: min(CHUNK, source.size - at)], at)
                if known is None:
                    hasher.update(chunk)
                    crc = isal_zlib.crc32(chunk, crc)
                self._write(chunk if packer is None else packer.compress(chunk))
                advance(len(chunk))
            if packer is not None:
                self._write(packer.flush())
            return known or FileDigest(hasher.hexdigest(), crc, source.size)

    def _write(self, data: Data) -> None:
        self._sink.write(data)
        self._at += len(data)
