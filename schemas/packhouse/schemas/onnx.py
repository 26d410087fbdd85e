"""Which files an ONNX model refers to, read off the model without loading it and without trusting it.

Source of the format: the field numbers in the public ``onnx.proto``.
Nothing but the positions of fields is read, so a model of many gigabytes takes no more memory than a small one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.protobuf import DELIMITED, MAX_DEPTH, Fields, Malformed, RandomAccess, read_at

_Seen = TypeVar("_Seen")


@dataclass(frozen=True)
class ExternalTensor:
    """A tensor whose values lie in another file. ``offset`` and ``length`` are bytes; None is up to the file's end."""

    name: str
    location: str
    """As the model has it: a path relative to the model's folder, if the model is sound."""
    offset: int = 0
    length: int | None = None


@dataclass(frozen=True)
class _Message:
    """A message on the way to tensors: which fields lead there. ``single`` ones hold one message and not a list."""

    name: str
    fields: dict[int, _Message]
    single: frozenset[int] = frozenset()


_TENSOR: Final = _Message("TensorProto", {})
_SPARSE: Final = _Message("SparseTensorProto", {1: _TENSOR, 2: _TENSOR}, frozenset({1, 2}))
_ATTRIBUTE: Final = _Message("AttributeProto", {5: _TENSOR, 10: _TENSOR, 22: _SPARSE, 23: _SPARSE}, frozenset({5, 22}))
_NODE: Final = _Message("NodeProto", {5: _ATTRIBUTE})
_GRAPH: Final = _Message("GraphProto", {1: _NODE, 5: _TENSOR, 15: _SPARSE})
_ATTRIBUTE.fields.update({6: _GRAPH, 11: _GRAPH})
_FUNCTION: Final = _Message("FunctionProto", {7: _NODE, 11: _ATTRIBUTE})
_TRAINING: Final = _Message("TrainingInfoProto", {1: _GRAPH, 2: _GRAPH})
_MODEL: Final = _Message("ModelProto", {7: _GRAPH, 20: _TRAINING, 25: _FUNCTION})

_MODEL_GRAPH = 7
_TENSOR_NAME, _TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION = 8, 13, 14
_ENTRY_KEY, _ENTRY_VALUE = 1, 2

_MAX_EXTERNAL: Final = 1_000_000
_MAX_NAMES: Final = 64 << 20
"""Bytes of the names of external tensors and of their files, all together: those of real models have a thousandth."""
_BYTES: Final = re.compile(rb"[0-9]{1,19}")

_LOOKS: Final = (
    (b"\x1f\x8b", "it is compressed with gzip"),
    (b"PK\x03\x04", "it is a ZIP archive"),
    (b"version https://git-lfs", "it is a Git LFS pointer, and the file it stands for was never fetched"),
)


def external_locations(source: RandomAccess | str, *, shown: str | None = None) -> list[ExternalTensor]:
    """Every tensor of an ONNX model whose values lie in another file, in the order of the file.

    ``source`` is a path or an open file. ``shown`` is what errors call the file. Found are initializers, sparse ones
    included, and tensors in the attributes of nodes and functions, in graphs and subgraphs at any depth and in
    training information. Returning at all means that the file reads as ONNX.

    Raises ``PermanentError`` (``model_not_onnx``) for anything else; for what cannot be read ``OSError``, or whatever
    the file's ``readinto`` raises.
    """
    return read_model(source, lambda fields: _Scanner(fields).external_tensors(), shown=shown)


def read_model(source: RandomAccess | str, look: Callable[[Fields], _Seen], *, shown: str | None = None) -> _Seen:
    """What ``look`` sees in an ONNX model: a path, or an open file. ``shown`` is what errors call the file.

    Raises ``PermanentError`` (``model_not_onnx``) where ``look`` raises ``Malformed``; for what cannot be read
    ``OSError``, or whatever the file's ``readinto`` raises.
    """
    if not isinstance(source, str):
        return _look(partial(read_at, source.readinto), source.size, look, shown or "the model")
    with Path(source).open("rb", buffering=0) as file:

        def readinto(buffer: memoryview, at: int) -> int:
            file.seek(at)
            return file.readinto(buffer) or 0

        return _look(partial(read_at, readinto), os.fstat(file.fileno()).st_size, look, shown or source)


def _look(read: Callable[[int, int], bytes], size: int, look: Callable[[Fields], _Seen], shown: str) -> _Seen:
    try:
        return look(Fields(read, size))
    except Malformed as error:
        start = read(32, 0)
        reason = next((said for magic, said in _LOOKS if start.startswith(magic)), str(error))
    raise PermanentError(
        ErrorCode.MODEL_NOT_ONNX,
        f"{shown} is not an ONNX model: {reason}.",
        fix="Give the path of a complete, uncompressed model in ONNX's binary format.",
    )


class _Frame:
    """A message that is being read: where it ends, and as bits which fields it had."""

    __slots__ = ("end", "message", "seen")

    def __init__(self, message: _Message, end: int) -> None:
        self.message = message
        self.end = end
        self.seen = 0

    def expect(self, number: int, wire: int, at: int) -> None:
        """A field that holds a message comes here."""
        if wire != DELIMITED:
            raise Malformed(f"field {number} of a {self.message.name} at byte {at} is no message")
        if number in self.message.single and self.seen >> number & 1:
            raise Malformed(f"field {number} of a {self.message.name} at byte {at} is there twice")
        self.seen |= 1 << number


class _Scanner:
    """Walks from field to field, always forward."""

    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self._external_left = _MAX_EXTERNAL
        self._names_left = _MAX_NAMES

    def external_tensors(self) -> list[ExternalTensor]:
        found: list[ExternalTensor] = []
        model = frame = _Frame(_MODEL, self._fields.size)
        around: list[_Frame] = []
        at = 0
        while True:
            while at == frame.end and around:
                frame = around.pop()
            if at == frame.end:
                break
            number, wire, start, stop = self._fields.field(at, frame.end)
            inner = frame.message.fields.get(number)
            at = stop
            if inner is None:
                continue
            frame.expect(number, wire, start)
            if inner is _TENSOR:
                found.extend(self._tensor(start, stop))
                continue
            around.append(frame)
            frame, at = _Frame(inner, stop), start
            if len(around) > MAX_DEPTH:
                raise Malformed(f"its messages are nested more than {MAX_DEPTH} deep")
        if not self._fields.size:
            raise Malformed("it is empty")
        if not model.seen >> _MODEL_GRAPH & 1:
            raise Malformed("it has no graph")
        return found

    def _tensor(self, at: int, end: int) -> tuple[ExternalTensor, ...]:
        """The tensor, if it is external."""
        name = b""
        external = False
        data: dict[bytes, bytes] = {}
        while at < end:
            number, wire, start, stop = self._fields.field(at, end)
            if number == _TENSOR_NAME:
                name = self._fields.text(wire, start, stop)
            elif number == _TENSOR_EXTERNAL_DATA:
                key, value = self._entry(wire, start, stop)
                data[key] = value
            elif number == _TENSOR_DATA_LOCATION:
                external = self._is_external(wire, start)
            at = stop
        if not external:
            return ()
        self._external_left -= 1
        if self._external_left < 0:
            raise Malformed(f"it has more than {_MAX_EXTERNAL} external tensors")
        text = name.decode("utf-8", "replace")
        location = data.get(b"location", b"")
        self._names_left -= len(name) + len(location)
        if self._names_left < 0:
            raise Malformed(f"the names of its external tensors have more than {_MAX_NAMES >> 20} MiB")
        if not location:
            raise Malformed(f"tensor {text!r} lies in another file that it does not name")
        offset = _count(data.get(b"offset", b"0"), "offset", text)
        length = _count(data[b"length"], "length", text) if b"length" in data else None
        try:
            return (ExternalTensor(text, location.decode("utf-8"), offset, length),)
        except UnicodeDecodeError:
            raise Malformed(f"the file that tensor {text!r} names is not UTF-8") from None

    def _entry(self, wire: int, at: int, end: int) -> tuple[bytes, bytes]:
        if wire != DELIMITED:
            raise Malformed(f"external_data at byte {at} is no message")
        key = value = b""
        while at < end:
            number, inner_wire, start, stop = self._fields.field(at, end)
            if number == _ENTRY_KEY:
                key = self._fields.text(inner_wire, start, stop)
            elif number == _ENTRY_VALUE:
                value = self._fields.text(inner_wire, start, stop)
            at = stop
        return key, value

    def _is_external(self, wire: int, at: int) -> bool:
        value = self._fields.number(wire, at)
        if value > 1:
            raise Malformed(f"the data_location at byte {at} is neither 0 nor 1")
        return value == 1


def _count(text: bytes, what: str, tensor: str) -> int:
    if not _BYTES.fullmatch(text):
        raise Malformed(f"the {what} of tensor {tensor!r} is no number of bytes: {text[:40]!r}")
    return int(text)
