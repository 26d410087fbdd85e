"""What goes into a model and what comes out of it: names, types, shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class TensorType:
    """A tensor."""

    element: str
    """Type of its elements as ONNX names it, in lower case: ``float``, ``float16``, ``int64``, ``string``, …"""
    shape: tuple[int | str | None, ...] | None
    """A number for a dimension that is fixed, a name for one that is not, None for one without a name; () is a scalar.
    None in place of the whole where not even the rank is known."""


@dataclass(frozen=True)
class SequenceType:
    """A list of values of one type."""

    of: ValueType


@dataclass(frozen=True)
class MapType:
    """A mapping from keys to values."""

    key: str
    """Element type of the keys: ``int64`` or ``string``, most often."""
    value: ValueType


@dataclass(frozen=True)
class OptionalType:
    """A value that may be absent."""

    of: ValueType


ValueType: TypeAlias = TensorType | SequenceType | MapType | OptionalType


@dataclass(frozen=True)
class Value:
    """An input or an output."""

    name: str
    type: ValueType


@dataclass(frozen=True)
class Signature:
    """Of a whole model, in the model's own order. Inputs that initializers give a value are not among them."""

    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
