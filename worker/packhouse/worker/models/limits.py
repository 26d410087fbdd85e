"""What opening a model may take, by its size."""

from __future__ import annotations

from typing import Final

_GIB: Final = 1 << 30
_SECONDS_FOR_GIB: Final = 30
_COPIES: Final = 4
"""How often its own size a model may take: as it is read, as it is parsed, as graph optimizations make it anew."""


def seconds_for(model: int, least: float) -> float:
    """Seconds for a model of so many bytes with all of its weights, ``least`` for one of none."""
    return least + _SECONDS_FOR_GIB * model / _GIB


def memory_for(model: int, least: int) -> int:
    """Bytes of memory for a model of so many bytes with all of its weights, ``least`` for one of none."""
    return least + _COPIES * model
