"""Messages of Protocol Buffers, read field by field from a file of any size, in bounded memory.

Source of the format: the Protocol Buffers encoding guide.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

VARINT: Final = 0
FIXED64: Final = 1
DELIMITED: Final = 2
FIXED32: Final = 5
MAX_DEPTH: Final = 100
"""How deep messages may be nested: what protobuf's own readers allow."""

_VARINT_BITS: Final = 70  # ten bytes of seven bits
_LAST_BYTE: Final = 0x7F
_WINDOW: Final = 64 * 1024
_MOST_OF_A_HEADER: Final = 20  # two varints of ten bytes
_MAX_FIELDS: Final = 10_000_000
"""Some ten seconds of a processor. Models of a hundred thousand nodes have a third of that."""
_MAX_TEXT: Final = 4096


class Malformed(Exception):
    """Not what the format's own library writes; the text is a clause that says what is wrong, and where."""


class RandomAccess(Protocol):
    """A file that can be read anywhere."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    def readinto(self, buffer: memoryview, at: int) -> int:
        """Read bytes from a place on: some at least, 0 only at the end. Returns how many."""
        ...


def read_at(readinto: Callable[[memoryview, int], int], count: int, at: int) -> bytes:
    """So many bytes from a place on; fewer only where the file ends."""
    data, done = bytearray(count), 0
    with memoryview(data) as view:
        while done < count and (more := readinto(view[done:], at + done)):
            done += more
    return bytes(data[:done])


class Fields:
    """Goes from field to field through a small window on the file; forward is cheap, back costs a read.

    All methods raise ``Malformed``, and whatever ``read`` raises.
    """

    def __init__(self, read: Callable[[int, int], bytes], size: int) -> None:
        """``read`` gives so many bytes from a place on; fewer only where the file ends."""
        self._read = read
        self.size = size
        self._window = b""
        self._base = 0
        self._fields_left = _MAX_FIELDS

    def field(self, at: int, end: int) -> tuple[int, int, int, int]:
        """Number and wire type of the field that begins at a place, and where its value begins and ends."""
        self._fields_left -= 1
        if self._fields_left < 0:
            raise Malformed(f"it has more than {_MAX_FIELDS} parts")
        self._look_at(at)
        key, here = self._varint(at - self._base)
        number, wire = key >> 3, key & 7
        if not 0 < number < 1 << 29:
            raise Malformed(f"there is no field number {number} (byte {at})")
        if wire == DELIMITED:
            length, here = self._varint(here)
        elif wire == VARINT:
            length = self._varint(here)[1] - here
        elif wire == FIXED64:
            length = 8
        elif wire == FIXED32:
            length = 4
        else:
            raise Malformed(f"there is no wire type {wire} (byte {at})")
        start = self._base + here
        if start + length > end:
            raise Malformed(f"the field at byte {at} is longer than what it lies in")
        return number, wire, start, start + length

    def text(self, wire: int, at: int, end: int) -> bytes:
        """The value of a field that holds a short text, or short bytes."""
        if wire != DELIMITED:
            raise Malformed(f"the field at byte {at} is no text")
        if end - at > _MAX_TEXT:
            raise Malformed(f"the text at byte {at} is longer than {_MAX_TEXT} bytes")
        if at < self._base or end > self._base + len(self._window):
            self._fill(at)
        text = self._window[at - self._base : end - self._base]
        if len(text) != end - at:
            raise Malformed("it ends in the middle")
        return text

    def number(self, wire: int, at: int) -> int:
        """The value of a field that holds a number, unsigned."""
        if wire != VARINT:
            raise Malformed(f"the field at byte {at} is no number")
        self._look_at(at)
        return self._varint(at - self._base)[0]

    def _look_at(self, at: int) -> None:
        have = self._base + len(self._window)
        if (at + _MOST_OF_A_HEADER > have and have < self.size) or at < self._base:
            self._fill(at)

    def _fill(self, at: int) -> None:
        self._window = self._read(_WINDOW, at)
        self._base = at

    def _varint(self, here: int) -> tuple[int, int]:
        """The number at a place of the window, and the place after it."""
        window = self._window
        value = shift = 0
        try:
            while shift < _VARINT_BITS:
                byte = window[here]
                here += 1
                value |= (byte & 0x7F) << shift
                if byte <= _LAST_BYTE:
                    return value, here
                shift += 7
        except IndexError:
            raise Malformed("it ends in the middle") from None
        raise Malformed(f"the number at byte {self._base + here} is longer than ten bytes")
