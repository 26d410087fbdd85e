"""The records of a ZIP file, as bytes. Source of the format: APPNOTE.TXT 6.3.10 of PKWARE.

Every entry is a regular file of mode 0644 from 1980-01-01, as a Unix system writes it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

STORED: Final = 0
DEFLATED: Final = 8

_LOCAL: Final = struct.Struct("<4s5H3I2H")
_CENTRAL: Final = struct.Struct("<4s6H3I5H2I")
_END: Final = struct.Struct("<4s4H2IH")
_END64: Final = struct.Struct("<4sQ2H2I4Q")
_LOCATOR64: Final = struct.Struct("<4sIQI")

_MAX16: Final = 0xFFFF
_MAX32: Final = 0xFFFFFFFF
_PLAIN, _WIDE = 20, 45  # versions that a reader must have: for deflate and folders, for ZIP64
_UNIX: Final = 3 << 8
_UTF8: Final = 0x800
_TIME, _DATE = 0, 1 << 5 | 1
_MODE: Final = 0o100644 << 16
_ZIP64: Final = 1


@dataclass(frozen=True)
class Entry:
    """A file in the archive; sizes are bytes, ``offset`` is where its local header begins."""

    path: str
    method: int
    offset: int
    wide: bool
    """Whether its sizes are written in 64 bits."""
    crc32: int = 0
    size: int = 0
    packed: int = 0
    """Bytes it takes in the archive."""


def is_wide(size: int, method: int) -> bool:
    """Whether an entry of so many bytes needs ZIP64, whatever its bytes are: deflate can make them a little more."""
    worst = size if method == STORED else size + (size >> 10) + 1024
    return worst >= _MAX32


def local_header(entry: Entry) -> bytes:
    """What comes before the entry's data. Its length does not depend on CRC and sizes."""
    name = entry.path.encode()
    size, packed, extra = entry.size, entry.packed, b""
    if entry.wide:
        extra = struct.pack("<2H2Q", _ZIP64, 16, entry.size, entry.packed)
        size = packed = _MAX32
    fixed = _LOCAL.pack(
        b"PK\x03\x04", _needed(wide=entry.wide), _flags(entry.path), entry.method, _TIME, _DATE,
        entry.crc32, packed, size, len(name), len(extra),
    )  # fmt: skip
    return fixed + name + extra


def central_header(entry: Entry) -> bytes:
    """The entry in the directory at the archive's end."""
    name = entry.path.encode()
    size, packed, offset = entry.size, entry.packed, entry.offset
    values: list[int] = []
    if entry.wide:
        values += [size, packed]
        size = packed = _MAX32
    if offset >= _MAX32:
        values.append(offset)
        offset = _MAX32
    extra = struct.pack(f"<2H{len(values)}Q", _ZIP64, 8 * len(values), *values) if values else b""
    needed = _needed(wide=bool(values))
    fixed = _CENTRAL.pack(
        b"PK\x01\x02", _UNIX | needed, needed, _flags(entry.path), entry.method, _TIME, _DATE,
        entry.crc32, packed, size, len(name), len(extra), 0, 0, 0, _MODE, offset,
    )  # fmt: skip
    return fixed + name + extra


def end_records(count: int, start: int, size: int) -> bytes:
    """What comes after the directory: its number of entries, where it begins and how many bytes it has."""
    records = b""
    if count >= _MAX16 or start >= _MAX32 or size >= _MAX32:
        rest = _END64.size - 12
        records = _END64.pack(b"PK\x06\x06", rest, _UNIX | _WIDE, _WIDE, 0, 0, count, count, size, start)
        records += _LOCATOR64.pack(b"PK\x06\x07", 0, start + size, 1)
    count = min(count, _MAX16)
    return records + _END.pack(b"PK\x05\x06", 0, 0, count, count, min(size, _MAX32), min(start, _MAX32), 0)


def _needed(*, wide: bool) -> int:
    return _WIDE if wide else _PLAIN


def _flags(path: str) -> int:
    return 0 if path.isascii() else _UTF8
