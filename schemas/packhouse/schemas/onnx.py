"""Which files an ONNX model refers to, read off the model without loading it and without trusting it.

Source of the format: the Protocol Buffers encoding guide, and the field numbers in the public ``onnx.proto``.
Nothing but the positions of fields is read, so a model of many gigabytes takes no more memory than a small one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from packhouse.schemas.errors import ErrorCode, PermanentError


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
_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5

_VARINT_BITS: Final = 70  # ten bytes of seven bits
_LAST_BYTE: Final = 0x7F

_WINDOW: Final = 64 * 1024
_MOST_OF_A_HEADER: Final = 20  # two varints of ten bytes
_MAX_DEPTH: Final = 100  # what protobuf's own readers allow
_MAX_FIELDS: Final = 50_000_000
_MAX_EXTERNAL: Final = 1_000_000
_MAX_TEXT: Final = 4096
_BYTES: Final = re.compile(rb"[0-9]{1,19}")

_LOOKS: Final = (
    (b"\x1f\x8b", "it is compressed with gzip"),
    (b"PK\x03\x04", "it is a ZIP archive"),
    (b"version https://git-lfs", "it is a Git LFS pointer, and the file it stands for was never fetched"),
)


class _Malformed(Exception):
    """Not what ONNX writes; the text says where."""


class RandomAccess(Protocol):
    """A file that can be read anywhere."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    def readinto(self, buffer: memoryview, at: int) -> int:
        """Read bytes from a place on: some at least, 0 only at the end. Returns how many."""
        ...


def external_locations(source: RandomAccess | str, *, shown: str | None = None) -> list[ExternalTensor]:
    """Every tensor of an ONNX model whose values lie in another file, in the order of the file.

    ``source`` is a path or an open file. ``shown`` is what errors call the file. Found are initializers, sparse ones
    included, and tensors in the attributes of nodes and functions, in graphs and subgraphs at any depth and in
    training information. Returning at all means that the file reads as ONNX.

    Raises ``PermanentError`` (``model_not_onnx``) for anything else; for what cannot be read ``OSError``, or whatever
    the file's ``readinto`` raises.
    """
    if not isinstance(source, str):
        return _scan(partial(_read_at, source.readinto), source.size, shown or "the model")
    with Path(source).open("rb", buffering=0) as file:

        def readinto(buffer: memoryview, at: int) -> int:
            file.seek(at)
            return file.readinto(buffer) or 0

        return _scan(partial(_read_at, readinto), os.fstat(file.fileno()).st_size, shown or source)


def _read_at(readinto: Callable[[memoryview, int], int], count: int, at: int) -> bytes:
    data, done = bytearray(count), 0
    with memoryview(data) as view:
        while done < count and (more := readinto(view[done:], at + done)):
            done += more
    return bytes(data[:done])


def _scan(read: Callable[[int, int], bytes], size: int, shown: str) -> list[ExternalTensor]:
    try:
        return _Scanner(read, size).external_tensors()
    except _Malformed as error:
        start = read(32, 0)
        reason = next((look for magic, look in _LOOKS if start.startswith(magic)), str(error))
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
        if wire != _DELIMITED:
            raise _Malformed(f"field {number} of a {self.message.name} at byte {at} is no message")
        if number in self.message.single and self.seen >> number & 1:
            raise _Malformed(f"field {number} of a {self.message.name} at byte {at} is there twice")
        self.seen |= 1 << number


class _Scanner:
    """Walks from field to field, always forward, through a small window on the file."""

    def __init__(self, read: Callable[[int, int], bytes], size: int) -> None:
        self._read = read
        self._size = size
        self._window = b""
        self._base = 0
        self._fields_left = _MAX_FIELDS
        self._external_left = _MAX_EXTERNAL

    def external_tensors(self) -> list[ExternalTensor]:
        found: list[ExternalTensor] = []
        model = frame = _Frame(_MODEL, self._size)
        around: list[_Frame] = []
        at = 0
        while True:
            while at == frame.end and around:
                frame = around.pop()
            if at == frame.end:
                break
            number, wire, start, stop = self._field(at, frame.end)
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
            if len(around) > _MAX_DEPTH:
                raise _Malformed(f"its messages are nested more than {_MAX_DEPTH} deep")
        if not self._size:
            raise _Malformed("it is empty")
        if not model.seen >> _MODEL_GRAPH & 1:
            raise _Malformed("it has no graph")
        return found

    def _tensor(self, at: int, end: int) -> tuple[ExternalTensor, ...]:
        """The tensor, if it is external."""
        name = b""
        external = False
        data: dict[bytes, bytes] = {}
        while at < end:
            number, wire, start, stop = self._field(at, end)
            if number == _TENSOR_NAME:
                name = self._text(wire, start, stop)
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
            raise _Malformed(f"it has more than {_MAX_EXTERNAL} external tensors")
        text = name.decode("utf-8", "replace")
        location = data.get(b"location", b"")
        if not location:
            raise _Malformed(f"tensor {text!r} lies in another file that it does not name")
        offset = _count(data.get(b"offset", b"0"), "offset", text)
        length = _count(data[b"length"], "length", text) if b"length" in data else None
        try:
            return (ExternalTensor(text, location.decode("utf-8"), offset, length),)
        except UnicodeDecodeError:
            raise _Malformed(f"the file that tensor {text!r} names is not UTF-8") from None

    def _entry(self, wire: int, at: int, end: int) -> tuple[bytes, bytes]:
        if wire != _DELIMITED:
            raise _Malformed(f"external_data at byte {at} is no message")
        key = value = b""
        while at < end:
            number, inner_wire, start, stop = self._field(at, end)
            if number == _ENTRY_KEY:
                key = self._text(inner_wire, start, stop)
            elif number == _ENTRY_VALUE:
                value = self._text(inner_wire, start, stop)
            at = stop
        return key, value

    def _is_external(self, wire: int, at: int) -> bool:
        self._look_at(at)
        value, _ = self._varint(at - self._base)
        if wire != _VARINT or value > 1:
            raise _Malformed(f"the data_location at byte {at} is neither 0 nor 1")
        return value == 1

    def _text(self, wire: int, at: int, end: int) -> bytes:
        if wire != _DELIMITED:
            raise _Malformed(f"the field at byte {at} is no text")
        if end - at > _MAX_TEXT:
            raise _Malformed(f"the text at byte {at} is longer than {_MAX_TEXT} bytes")
        if end > self._base + len(self._window):
            self._fill(at)
        text = self._window[at - self._base : end - self._base]
        if len(text) != end - at:
            raise _Malformed("it ends in the middle")
        return text

    def _field(self, at: int, end: int) -> tuple[int, int, int, int]:
        """Number, wire type, and where the value begins and ends."""
        self._fields_left -= 1
        if self._fields_left < 0:
            raise _Malformed(f"it has more than {_MAX_FIELDS} parts")
        self._look_at(at)
        key, here = self._varint(at - self._base)
        number, wire = key >> 3, key & 7
        if not 0 < number < 1 << 29:
            raise _Malformed(f"there is no field number {number} (byte {at})")
        if wire == _DELIMITED:
            length, here = self._varint(here)
        elif wire == _VARINT:
            length = self._varint(here)[1] - here
        elif wire == _FIXED64:
            length = 8
        elif wire == _FIXED32:
            length = 4
        else:
            raise _Malformed(f"there is no wire type {wire} in ONNX (byte {at})")
        start = self._base + here
        if start + length > end:
            raise _Malformed(f"the field at byte {at} is longer than what it lies in")
        return number, wire, start, start + length

    def _look_at(self, at: int) -> None:
        have = self._base + len(self._window)
        if (at + _MOST_OF_A_HEADER > have and have < self._size) or at < self._base:
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
            raise _Malformed("it ends in the middle") from None
        raise _Malformed(f"the number at byte {self._base + here} is longer than ten bytes")


def _count(text: bytes, what: str, tensor: str) -> int:
    if not _BYTES.fullmatch(text):
        raise _Malformed(f"the {what} of tensor {tensor!r} is no number of bytes: {text[:40]!r}")
    return int(text)
