"""Whether bytes are worth deflating, and deflating them as fast as writing them."""

from __future__ import annotations

from typing import Any, Final

from isal import isal_zlib

from packhouse.worker.storage.readable import Readable, read_full

LEVEL: Final = 1
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
        return worth_deflating_bytes(_read(source, source.size, 0))
    step = (source.size - _SAMPLE) // (_SAMPLES - 1)
    return worth_deflating_bytes(b"".join(_read(source, _SAMPLE, index * step) for index in range(_SAMPLES)))


def _read(source: Readable, count: int, at: int) -> bytes:
    return read_full(source, memoryview(bytearray(count)), at).tobytes()


def worth_deflating_bytes(data: bytes) -> bool:
    """Whether deflating saves at least 15 % of the bytes."""
    return bool(data) and len(deflated(data)) <= len(data) * (1 - _GAIN)


def deflated(data: bytes) -> bytes:
    """The bytes as a raw deflate stream."""
    return isal_zlib.compress(data, LEVEL, RAW)


def deflator() -> Any:
    """A raw deflate stream in the making (``compress``, ``flush``). Equal pieces in equal order give equal bytes."""
    return isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, RAW)
