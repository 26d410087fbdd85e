"""Whether bytes are worth deflating, and deflating them as fast as writing them."""

from __future__ import annotations

import zlib
from typing import Any, Final

from isal import isal_zlib

from packhouse.worker.storage.readable import Readable, read_full

LEVEL: Final = 1
_TEXT_LEVEL: Final = 6
RAW: Final = -15
"""``wbits`` of a deflate stream without a header, as ZIP has it."""

_SAMPLES: Final = 8
_SAMPLE: Final = 64 * 1024
_GAIN: Final = 0.15


def worth_deflating(source: Readable) -> bool:
    """Whether deflating saves at least 15 % of a file, judged by samples spread evenly over it.

    Raises what ``Readable.readinto`` raises.
    """
    if source.size <= _SAMPLES * _SAMPLE:
        sample = _read(source, source.size, 0)
    else:
        step = (source.size - _SAMPLE) // (_SAMPLES - 1)
        sample = b"".join(_read(source, _SAMPLE, index * step) for index in range(_SAMPLES))
    return _gains(isal_zlib.compress(sample, LEVEL, RAW), sample)


def _read(source: Readable, count: int, at: int) -> bytes:
    return read_full(source, memoryview(bytearray(count)), at).tobytes()


def worth_deflating_bytes(data: bytes) -> bool:
    """Whether deflating saves at least 15 % of a text."""
    return _gains(deflated(data), data)


def _gains(packed: bytes, data: bytes) -> bool:
    return bool(data) and len(packed) <= len(data) * (1 - _GAIN)


def deflated(data: bytes) -> bytes:
    """The bytes of a text as a raw deflate stream, the same in every process.

    By zlib: two processes of one machine have been seen to get streams of short texts from ISA-L that differ by a byte.
    """
    packer = zlib.compressobj(_TEXT_LEVEL, zlib.DEFLATED, RAW)
    return packer.compress(data) + packer.flush()


def deflator() -> Any:
    """A raw deflate stream in the making (``compress``, ``flush``). Equal pieces in equal order give equal bytes."""
    return isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, RAW)
