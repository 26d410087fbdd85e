"""Reading a package's ZIP without trusting it."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Self

from packhouse.worker.package.tree import unsafe
from packhouse.worker.verify.container import (
    CHUNK,
    LONGEST_JSON,
    MOST_FILES,
    UNREADABLE,
    faults_of_clashes,
    named,
)

_LOCAL_HEADER: Final = struct.Struct("<4sHHHHHIIIHH")
_LOCAL_MAGIC: Final = b"PK\x03\x04"
_CENTRAL_HEADER: Final = struct.Struct("<28x3H12x")
"""Lengths of name, extra field and comment, which follow the header; the rest of it is ``zipfile``'s to read."""
_CENTRAL_MAGIC: Final = b"PK\x01\x02"
_END_MAGICS: Final = (b"PK\x05\x06", b"PK\x06\x06")
_UNPACKS_TO: Final = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: 1032}
"""How many times its packed size a file can have, by the methods of a package. Deflate says 258 bytes in 2 bits."""
_ENCRYPTED: Final = 1
_SIZES_FOLLOW: Final = 8
_UTF8: Final = 0x800
_IN_ZIP64: Final = 0xFFFFFFFF

_LONGEST_DIRECTORY: Final = 16 * 1024 * 1024
"""Bytes of the directory of an archive: those of some 150 000 files. It is read at once, and an entry of it takes ten
times its size in memory."""


class _Bounded(io.BufferedReader):
    """A file of which nobody reads much at once, whatever the file says of itself."""

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = _LONGEST_DIRECTORY + 1 if size is None or size < 0 else size
        if wanted > _LONGEST_DIRECTORY + 1 or len(data := super().read(wanted)) > _LONGEST_DIRECTORY:
            raise zipfile.BadZipFile(f"its directory is longer than {_LONGEST_DIRECTORY} bytes")
        return data


class Archive:
    """A ZIP opened for reading. Raises ``BadZipFile`` where it is none, ``OSError`` where it cannot be opened."""

    law = "is a sound ZIP file with safe paths"

    def __init__(self, path: Path) -> None:
        # Without O_NONBLOCK, opening a pipe that nobody writes to would never return.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._file = _Bounded(io.FileIO(descriptor))
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise zipfile.BadZipFile("it is no regular file")
            self.bytes = self._file.seek(0, 2)
            self._zip = zipfile.ZipFile(self._file)
        except UNREADABLE as error:
            self._file.close()
            raise zipfile.BadZipFile(str(error)) from error
        self._entries = self._zip.infolist()
        self._by_path = {entry.filename: entry for entry in self._entries}
        self.sizes: Mapping[str, int] = {path: entry.file_size for path, entry in self._by_path.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()
        self._file.close()

    def faults(self) -> list[str]:
        """See ``Container``."""
        if len(self._entries) > MOST_FILES:
            return [f"there are more than {MOST_FILES} files"]
        return [*self._faults_of_names(), *self._faults_of_layout()]

    def read(self, path: str, *, most: int = LONGEST_JSON) -> bytes:
        """See ``Container``."""
        entry = self._by_path[path]
        if entry.file_size > most:
            raise ValueError(f"{named(path)} is longer than {most} bytes")
        with self._zip.open(entry) as file:
            return file.read(most)

    def digest(self, path: str, advance: Callable[[int], None]) -> tuple[int, str]:
        """See ``Container``."""
        digest, size = hashlib.sha256(), 0
        for chunk in self._chunks(path):
            digest.update(chunk)
            size += len(chunk)
            advance(len(chunk))
        return size, digest.hexdigest()

    def extract(self, path: str, target: Path) -> None:
        """See ``Container``."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            for chunk in self._chunks(path):
                file.write(chunk)

    def _chunks(self, path: str) -> Iterator[bytes]:
        with self._zip.open(self._by_path[path]) as file:
            while chunk := file.read(CHUNK):
                yield chunk

    def _faults_of_names(self) -> Iterator[str]:
        safe: list[str] = []
        for entry in self._entries:
            name = entry.orig_filename
            reason = unsafe(name)
            if reason is not None:
                yield f"{named(name)}: unsafe path: {reason}"
            else:
                safe.append(name)
            mode = entry.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                yield f"{named(name)} is a link or another thing that is no file"
            if entry.flag_bits & _ENCRYPTED:
                yield f"{named(name)} is encrypted"
            if entry.compress_type not in _UNPACKS_TO:
                yield f"{named(name)} is compressed in an unusual way (method {entry.compress_type})"
            elif entry.file_size > entry.compress_size * _UNPACKS_TO[entry.compress_type]:
                yield f"{named(name)} cannot unpack to the {entry.file_size} bytes that it says"

        yield from faults_of_clashes(safe)

    def _faults_of_layout(self) -> Iterator[str]:
        """Each byte before the directory of the archive belongs to one entry, and to one only."""
        expected = 0
        for entry in sorted(self._entries, key=lambda each: each.header_offset):
            name = named(entry.orig_filename)
            if entry.header_offset < expected:
                yield f"{name} overlaps the file before it"
            elif entry.header_offset > expected:
                yield f"{entry.header_offset - expected} bytes before {name} belong to no file"
            header = _local_header(self._file, entry.header_offset)
            if header is None:
                yield f"{name} has no header where the directory of the archive says"
                return
            if not header.agrees_with(entry):
                yield f"{name} has another name, size or CRC in its own header than in the directory of the archive"
            expected = entry.header_offset + header.length + entry.compress_size
        if expected != self._zip.start_dir:
            yield "the last file does not end where the directory of the archive begins"
        if not self._directory_is_whole():
            yield "the directory of the archive does not end where its last entry does"

    def _directory_is_whole(self) -> bool:
        """Whether as many entries as were read follow each other up to the end records: ``zipfile`` is lenient here."""
        at = self._zip.start_dir
        for _ in self._entries:
            self._file.seek(at)
            fixed = self._file.read(_CENTRAL_HEADER.size)
            if len(fixed) < _CENTRAL_HEADER.size or not fixed.startswith(_CENTRAL_MAGIC):
                return False
            at += _CENTRAL_HEADER.size + sum(_CENTRAL_HEADER.unpack(fixed))
        self._file.seek(at)
        return self._file.read(4) in _END_MAGICS


@dataclass(frozen=True)
class _LocalHeader:
    """What stands in front of an entry's data: some readers look only here."""

    name: bytes
    flags: int
    method: int
    crc32: int
    packed: int
    size: int
    length: int
    """Bytes of the header itself."""

    def agrees_with(self, entry: zipfile.ZipInfo) -> bool:
        """Whether the directory of the archive says the same, as far as the header says anything."""
        name = entry.orig_filename.encode(*(("utf-8",) if entry.flag_bits & _UTF8 else ("cp437", "replace")))
        if (self.name, self.flags, self.method) != (name, entry.flag_bits, entry.compress_type):
            return False
        if self.flags & _SIZES_FOLLOW:
            return True
        return self.crc32 == entry.CRC and all(
            said in (known, _IN_ZIP64)
            for said, known in ((self.packed, entry.compress_size), (self.size, entry.file_size))
        )


def _local_header(file: BinaryIO, offset: int) -> _LocalHeader | None:
    if offset < 0:
        return None
    file.seek(offset)
    fixed = file.read(_LOCAL_HEADER.size)
    if len(fixed) < _LOCAL_HEADER.size:
        return None
    magic, _, flags, method, _, _, crc32, packed, size, name_length, extra_length = _LOCAL_HEADER.unpack(fixed)
    name = file.read(name_length)
    if magic != _LOCAL_MAGIC or len(name) < name_length:
        return None
    length = _LOCAL_HEADER.size + name_length + extra_length
    return _LocalHeader(name, flags, method, crc32, packed, size, length)
