"""Inputs that a model can be run on without knowing what it is for: the same in every language that does this.

Element i, row by row, of a tensor of floating-point numbers is ((i * 7 + 3) % 17) / 17, of integers i % 2, of truth
values whether i % 2 is 1, of strings the word "text".
"""

from __future__ import annotations

from math import prod
from typing import Any, Final

import numpy as np

_FLOATS: Final[dict[str, Any]] = {"float16": np.float16, "float": np.float32, "double": np.float64}
_INTEGERS: Final[dict[str, Any]] = {
    "int8": np.int8, "int16": np.int16, "int32": np.int32, "int64": np.int64,
    "uint8": np.uint8, "uint16": np.uint16, "uint32": np.uint32, "uint64": np.uint64,
}  # fmt: skip

BFLOAT16: Final = "bfloat16"

GENERATED: Final = frozenset({*_FLOATS, *_INTEGERS, BFLOAT16, "bool", "string"})
"""Element types, as ``signature.TensorType`` names them, of which an input can be generated."""


def generated(element: str, shape: tuple[int, ...]) -> Any:
    """A tensor as a NumPy array, () a scalar. ``element`` is one of ``GENERATED``.

    NumPy has no ``bfloat16``: of it the array holds the bits, as ``uint16``.
    """
    if element == "string":
        return np.full(shape, "text", dtype=object)
    at = np.arange(prod(shape), dtype=np.int64)
    if element in _FLOATS or element == BFLOAT16:
        values = ((at * 7 + 3) % 17) / 17
        values = _bits_of_bfloat16(values) if element == BFLOAT16 else values.astype(_FLOATS[element])
    elif element == "bool":
        values = at % 2 == 1
    else:
        values = (at % 2).astype(_INTEGERS[element])
    return values.reshape(shape)


def _bits_of_bfloat16(values: Any) -> Any:
    """The upper half of a float, rounded to the nearest, to the even one of two."""
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
