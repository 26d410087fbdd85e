"""Whether bytes are worth deflating, and deflating them fast, to the same bytes in every process."""

from __future__ import annotations

import zlib
from typing import Final

from isal import isal_zlib

from packhouse.worker.storage.readable import Readable, read_full
from packhouse.worker.storage.sink import Data

LEVEL: Final = 1
_TEXT_LEVEL: Final = 6
RAW: Final = -15
"""``wbits`` of a deflate stream without a header, as ZIP has it."""

_FIRST: Final = 16
"""Bytes that ISA-L's loop for bulk leaves to the one for rests, when they come alone."""

_SAMPLES: Final = 8
_SMALLEST: Final = 8 * 1024
_LARGEST: Final = 64 * 1024
"""Bytes of a sample: all together a sixteenth of a file, within these bounds."""
_GAIN: Final = 0.15


def worth_deflating(source: Readable) -> bool:
    """Whether deflating saves at least 15 % of a file, judged by samples spread evenly over it.

    Raises what ``Readable.readinto`` raises.
    """
    if source.size <= _SAMPLES * _SMALLEST:
        sample = _read(source, source.size, 0)
    else:
        count = min(max(source.size // (16 * _SAMPLES), _SMALLEST), _LARGEST)
        step = (source.size - count) // (_SAMPLES - 1)
        sample = b"".join(_read(source, count, index * step) for index in range(_SAMPLES))
    packer = Deflator()
    return _gains(packer.compress(sample) + packer.flush(), sample)


def _read(source: Readable, count: int, at: int) -> bytes:
    return read_full(source, memoryview(bytearray(count)), at).tobytes()


def worth_deflating_bytes(data: bytes) -> bool:
    """Whether deflating saves at least 15 % of a text."""
    return _gains(deflated(data), data)


def _gains(packed: bytes, data: bytes) -> bool:
    return bool(data) and len(packed) <= len(data) * (1 - _GAIN)


def deflated(data: bytes) -> bytes:
    """The bytes of a text as a raw deflate stream. By zlib: of what is short, ISA-L makes more."""
    packer = zlib.compressobj(_TEXT_LEVEL, zlib.DEFLATED, RAW)
    return packer.compress(data) + packer.flush()


class Deflator:
    """A raw deflate stream in the making. Equal pieces in equal order give equal bytes, wherever it lies in memory."""

    def __init__(self) -> None:
        self._packer = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, RAW)
        self._begun = False

    def compress(self, data: Data) -> bytes:
        """Take one more piece; returns what has become of those so far, as far as it is settled."""
        if self._begun:
            return self._packer.compress(data)
        # ISA-L's loop for bulk begins a stream by hashing, for the third byte, bits of the stream's own address
        # (up to 2.32, igzip_icf_body_h1_gr_bt.asm at write_first_byte): in one process out of hundreds that finds or
        # spoils a match, and the bytes are others. The loop for rests, which gets the first bytes here, does not.
        self._begun = True
        with memoryview(data) as view:
            first = self._packer.compress(view[:_FIRST]) + self._packer.flush(isal_zlib.Z_SYNC_FLUSH)
            return first + self._packer.compress(view[_FIRST:])

    def flush(self) -> bytes:
        """Returns the rest of the stream."""
        return self._packer.flush()
