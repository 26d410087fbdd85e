"""Messages of Protocol Buffers written by hand: what no library would write."""

from __future__ import annotations


def field(number: int, value: bytes) -> bytes:
    """A field of the given number that holds a message, a text or bytes."""
    length, size = b"", len(value)
    while size > 0x7F:
        length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + value
