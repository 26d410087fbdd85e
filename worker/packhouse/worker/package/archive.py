"""Reading a package's ZIP without trusting it."""

from __future__ import annotations

import hashlib
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, Self

from packhouse.worker.package.tree import folded, unsafe

LONGEST_JSON: Final = 256 * 1024 * 1024
"""The most that is read of a JSON file, in bytes."""

_CHUNK: Final = 1024 * 1024
_LOCAL_HEADER: Final = struct.Struct("<4sHHHHHIIIHH")
_LOCAL_MAGIC: Final = b"PK\x03\x04"
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED: Final = 1

UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError)
"""What ``zipfile`` raises for an archive that is damaged or made to mislead."""


class Archive:
    """A ZIP opened for reading. Raises what ``UNREADABLE`` lists where the file is no ZIP."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        try:
            self.size = self._file.seek(0, 2)
            self._zip = zipfile.ZipFile(self._file)
        except BaseException:
            self._file.close()
            raise
        self.entries = self._zip.infolist()
        self.by_path = {entry.filename: entry for entry in self.entries}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()
        self._file.close()

    def faults(self) -> list[str]:
        """Everything about the shape of the archive that a package never has."""
        return [*self._faults_of_names(), *self._faults_of_layout()]

    def read(self, path: str, *, most: int = LONGEST_JSON) -> bytes:
        """A file of at most so many bytes. Raises ``KeyError`` and what ``UNREADABLE`` lists."""
        entry = self.by_path[path]
        if entry.file_size > most:
            raise ValueError(f"{path} is longer than {most} bytes")
        with self._zip.open(entry) as file:
            return file.read(most)

    def digest(self, path: str, advance: Callable[[int], None]) -> tuple[int, str]:
        """Size and sha256 of a file as it unpacks. Raises what ``UNREADABLE`` lists."""
        digest, size = hashlib.sha256(), 0
        for chunk in self._chunks(path):
            digest.update(chunk)
            size += len(chunk)
            advance(len(chunk))
        return size, digest.hexdigest()

    def extract(self, path: str, target: Path) -> None:
        """Unpack one file to a place. Raises what ``UNREADABLE`` lists."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            for chunk in self._chunks(path):
                file.write(chunk)

    def _chunks(self, path: str) -> Iterator[bytes]:
        with self._zip.open(self.by_path[path]) as file:
            while chunk := file.read(_CHUNK):
                yield chunk

    def _faults_of_names(self) -> Iterator[str]:
        seen: dict[str, str] = {}
        for entry in self.entries:
            name = entry.orig_filename
            reason = unsafe(name)
            if reason is not None:
                yield f"{name!r}: unsafe path: {reason}"
            elif (other := seen.get(folded(name))) is not None:
                yield f"{name!r} is there twice" if other == name else f"{name!r} and {other!r} are one in any case"
            seen[folded(name)] = name
            mode = entry.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                yield f"{name!r} is a link or another thing that is no file"
            if entry.flag_bits & _ENCRYPTED:
                yield f"{name!r} is encrypted"
            if entry.compress_type not in _METHODS:
                yield f"{name!r} is compressed in an unusual way (method {entry.compress_type})"

    def _faults_of_layout(self) -> Iterator[str]:
        """Each byte before the directory of the archive belongs to one entry, and to one only."""
        expected = 0
        for entry in sorted(self.entries, key=lambda each: each.header_offset):
            name = entry.orig_filename
            if entry.header_offset < expected:
                yield f"{name!r} overlaps the file before it"
            elif entry.header_offset > expected:
                yield f"{entry.header_offset - expected} bytes before {name!r} belong to no file"
            header = _local_header(self._file, entry.header_offset)
            if header is None:
                yield f"{name!r} has no header where the directory of the archive says"
                return
            stored_name, length = header
            if stored_name != (name.encode() if entry.flag_bits & 0x800 else name.encode("cp437", "replace")):
                yield f"{name!r} has another name in its own header"
            expected = entry.header_offset + length + entry.compress_size
        if expected != self._zip.start_dir:
            yield "the last file does not end where the directory of the archive begins"


def _local_header(file: BinaryIO, offset: int) -> tuple[bytes, int] | None:
    """Name in, and length of, the header in front of an entry's data."""
    file.seek(offset)
    fixed = file.read(_LOCAL_HEADER.size)
    if len(fixed) < _LOCAL_HEADER.size:
        return None
    magic, *_, name_length, extra_length = _LOCAL_HEADER.unpack(fixed)
    name = file.read(name_length)
    if magic != _LOCAL_MAGIC or len(name) < name_length:
        return None
    return name, _LOCAL_HEADER.size + name_length + extra_length
