"""The signature of an ONNX model, read from its file without loading it, in memory that the model's size does not set.

Source of the format: the field numbers in the public ``onnx.proto``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from packhouse.schemas.onnx import read_model
from packhouse.schemas.protobuf import DELIMITED, Fields, Malformed
from packhouse.worker.models.signature import (
    MapType,
    OptionalType,
    SequenceType,
    Signature,
    TensorType,
    Value,
    ValueType,
)
from packhouse.worker.storage.readable import Readable

_GRAPH: Final = 7
_INITIALIZER, _INPUT, _OUTPUT, _SPARSE_INITIALIZER = 5, 11, 12, 15
_TENSOR_NAME, _SPARSE_VALUES = 8, 1
_VALUE_NAME, _VALUE_TYPE = 1, 2
_TENSOR, _SEQUENCE, _MAP, _OPAQUE, _SPARSE_TENSOR, _OPTIONAL = 1, 4, 5, 7, 8, 9
_TYPES: Final = frozenset({_TENSOR, _SEQUENCE, _MAP, _OPAQUE, _SPARSE_TENSOR, _OPTIONAL})
_ELEMENT, _SHAPE, _KEY, _MAP_VALUE, _DIMENSION, _DIMENSION_SIZE, _DIMENSION_NAME = 1, 2, 1, 2, 1, 1, 2

UNDEFINED: Final = "undefined"
"""The element type of what is no tensor that a program could make, and of what the model leaves open."""

_ELEMENTS: Final = (
    UNDEFINED, "float", "uint8", "int8", "uint16", "int16", "int32", "int64", "string", "bool", "float16", "double",
    "uint32", "uint64", "complex64", "complex128", "bfloat16", "float8e4m3fn", "float8e4m3fnuz", "float8e5m2",
    "float8e5m2fnuz", "uint4", "int4", "float4e2m1", "float8e8m0", "uint2", "int2",
)  # fmt: skip

_MAX_NESTED: Final = 20
_MAX_BYTES: Final = 32 << 20
_BYTES_OF_A_PART: Final = 100  # what a value or a dimension takes beside its name, about
_LARGEST: Final = (1 << 63) - 1


def read_signature(source: Readable, *, shown: str) -> Signature:
    """What the model in an open file takes and gives. ``shown`` is what errors call the file.

    Inputs that the graph itself has a value for are left out, as ONNX Runtime does. A sparse tensor, an opaque type and
    a value without a type are tensors of ``UNDEFINED`` elements and unknown rank; so is an element type not known here.

    Raises ``PermanentError`` (``model_not_onnx``), and what the file's ``readinto`` raises.
    """
    return read_model(source, lambda fields: _Reader(fields).signature(), shown=shown)


class _Reader:
    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self._bytes_left = _MAX_BYTES

    def signature(self) -> Signature:
        graph = self._graph()
        inputs: list[Value] = []
        outputs: list[Value] = []
        for number, wire, start, stop in self._each(*graph):
            if number in (_INPUT, _OUTPUT):
                _must_be_message(wire, start)
                (inputs if number == _INPUT else outputs).append(self._value(start, stop))
        # Only names of inputs are kept of a graph's initializers, of which there may be millions: hence a second walk.
        given = self._initialized(*graph, {value.name for value in inputs}) if inputs else set[str]()
        return Signature(tuple(value for value in inputs if value.name not in given), tuple(outputs))

    def _graph(self) -> tuple[int, int]:
        found: tuple[int, int] | None = None
        for number, wire, start, stop in self._each(0, self._fields.size):
            if number == _GRAPH:
                _must_be_message(wire, start)
                if found is not None:
                    raise Malformed("its graph is there twice")
                found = (start, stop)
        if found is None:
            raise Malformed("it has no graph")
        return found

    def _initialized(self, start: int, stop: int, names: set[str]) -> set[str]:
        given: set[str] = set()
        for number, wire, at, end in self._each(start, stop):
            if number == _INITIALIZER:
                _must_be_message(wire, at)
                given.add(self._tensor_name(at, end))
            elif number == _SPARSE_INITIALIZER:
                _must_be_message(wire, at)
                for inner, inner_wire, inner_at, inner_end in self._each(at, end):
                    if inner == _SPARSE_VALUES:
                        _must_be_message(inner_wire, inner_at)
                        given.add(self._tensor_name(inner_at, inner_end))
            given &= names
        return given

    def _tensor_name(self, start: int, stop: int) -> str:
        name = ""
        for number, wire, at, end in self._each(start, stop):
            if number == _TENSOR_NAME:
                name = _utf8(self._fields.text(wire, at, end), at)
        return name

    def _value(self, start: int, stop: int) -> Value:
        name = ""
        kind: ValueType | None = None
        self._take(_BYTES_OF_A_PART)
        for number, wire, at, end in self._each(start, stop):
            if number == _VALUE_NAME:
                name = self._kept_text(wire, at, end)
            elif number == _VALUE_TYPE:
                _must_be_message(wire, at)
                _must_be_first(kind, at)
                kind = self._type(at, end, 0)
        return Value(name, kind or TensorType(UNDEFINED, None))

    def _type(self, start: int, stop: int, depth: int) -> ValueType:
        if depth > _MAX_NESTED:
            raise Malformed(f"it has a type nested more than {_MAX_NESTED} deep")
        self._take(_BYTES_OF_A_PART)
        kind: ValueType | None = None
        for number, wire, at, end in self._each(start, stop):
            if number not in _TYPES:
                continue
            _must_be_message(wire, at)
            _must_be_first(kind, at)
            if number == _TENSOR:
                kind = self._tensor(at, end)
            elif number == _SEQUENCE:
                kind = SequenceType(self._inner(at, end, _ELEMENT, depth))
            elif number == _OPTIONAL:
                kind = OptionalType(self._inner(at, end, _ELEMENT, depth))
            elif number == _MAP:
                kind = MapType(self._element(at, end, _KEY), self._inner(at, end, _MAP_VALUE, depth))
            else:
                kind = TensorType(UNDEFINED, None)
        return kind or TensorType(UNDEFINED, None)

    def _inner(self, start: int, stop: int, field: int, depth: int) -> ValueType:
        kind: ValueType | None = None
        for number, wire, at, end in self._each(start, stop):
            if number == field:
                _must_be_message(wire, at)
                _must_be_first(kind, at)
                kind = self._type(at, end, depth + 1)
        return kind or TensorType(UNDEFINED, None)

    def _element(self, start: int, stop: int, field: int) -> str:
        element = UNDEFINED
        for number, wire, at, _ in self._each(start, stop):
            if number == field:
                code = self._fields.number(wire, at)
                element = _ELEMENTS[code] if code < len(_ELEMENTS) else UNDEFINED
        return element

    def _tensor(self, start: int, stop: int) -> TensorType:
        shape: tuple[int | str | None, ...] | None = None
        for number, wire, at, end in self._each(start, stop):
            if number == _SHAPE:
                _must_be_message(wire, at)
                _must_be_first(shape, at)
                shape = tuple(self._dimensions(at, end))
        return TensorType(self._element(start, stop, _ELEMENT), shape)

    def _dimensions(self, start: int, stop: int) -> Iterator[int | str | None]:
        for number, wire, at, end in self._each(start, stop):
            if number == _DIMENSION:
                _must_be_message(wire, at)
                self._take(_BYTES_OF_A_PART)
                yield self._dimension(at, end)

    def _dimension(self, start: int, stop: int) -> int | str | None:
        """Of number and name the last counts, as in Protocol Buffers; a number below 0 stands for any."""
        found: int | str | None = None
        for number, wire, at, end in self._each(start, stop):
            if number == _DIMENSION_SIZE:
                size = self._fields.number(wire, at)
                found = size if size <= _LARGEST else None
            elif number == _DIMENSION_NAME:
                found = self._kept_text(wire, at, end) or None
        return found

    def _each(self, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """The fields of a message: see ``Fields.field``."""
        while at < end:
            number, wire, start, stop = self._fields.field(at, end)
            yield number, wire, start, stop
            at = stop

    def _kept_text(self, wire: int, start: int, stop: int) -> str:
        self._take(stop - start)
        return _utf8(self._fields.text(wire, start, stop), start)

    def _take(self, count: int) -> None:
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise Malformed("its inputs and outputs are more, or more long-winded, than any model's")


def _utf8(text: bytes, at: int) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed(f"the name at byte {at} is not UTF-8") from None


def _must_be_message(wire: int, at: int) -> None:
    if wire != DELIMITED:
        raise Malformed(f"the field at byte {at} is no message")


def _must_be_first(found: object | None, at: int) -> None:
    if found is not None:
        raise Malformed(f"the message at byte {at} is one too many")
