"""EPContext nodes of an ONNX model: parts that were compiled for one execution provider.

Source of the format: "EP Context Design" in the documentation of ONNX Runtime, and the field numbers in the public
``onnx.proto``. Such a node has what was compiled in itself (``embed_mode`` 1, the default), or names a file that lies
relative to the model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from packhouse.schemas.onnx import read_model
from packhouse.schemas.protobuf import DELIMITED, MAX_DEPTH, Fields, Malformed, RandomAccess

_OP_TYPE: Final = b"EPContext"
_DOMAIN: Final = b"com.microsoft"
_MODEL_GRAPH: Final = 7
_GRAPH_NODE: Final = 1
_NODE_NAME, _NODE_OP_TYPE, _NODE_ATTRIBUTE, _NODE_DOMAIN = 3, 4, 5, 7
_NAME, _INTEGER, _STRING, _GRAPH, _GRAPHS = 1, 3, 4, 6, 11
_EMBED_MODE, _CACHE, _SOURCE = b"embed_mode", b"ep_cache_context", b"source"
_LONGEST_NAME: Final = 4096
_MOST_NODES: Final = 100_000
_MOST_NAMES: Final = 32 << 20
"""Bytes of what is kept of all of them together."""


@dataclass(frozen=True)
class EPContext:
    """An EPContext node."""

    node: str
    """Its name; may be empty."""
    source: str
    """What compiled it, as it says: the name of an execution provider, most often; may be empty."""
    location: str | None
    """The file that it names, relative to the model's folder if the model is sound; None where it needs none."""


def ep_contexts(source: RandomAccess | str, *, shown: str | None = None) -> list[EPContext]:
    """Every EPContext node of an ONNX model, subgraphs included, in the order of the file.

    ``source`` is a path or an open file. Raises as ``external_locations`` does, and for a node that names its file by
    more than 4096 bytes.
    """
    return read_model(source, lambda fields: _Walk(fields).contexts(), shown=shown)


class _Walk:
    """Visits nodes and the graphs in their attributes; of all others it reads the positions alone."""

    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self._found: list[EPContext] = []
        self._names_left = _MOST_NAMES

    def contexts(self) -> list[EPContext]:
        at = 0
        while at < self._fields.size:
            number, wire, start, at = self._fields.field(at, self._fields.size)
            if number == _MODEL_GRAPH:
                self._graph(wire, start, at, 0)
        return self._found

    def _graph(self, wire: int, at: int, end: int, depth: int) -> None:
        _must_be_message(wire, at)
        if depth > MAX_DEPTH:
            raise Malformed(f"its graphs are nested more than {MAX_DEPTH} deep")
        while at < end:
            number, inner, start, at = self._fields.field(at, end)
            if number == _GRAPH_NODE:
                self._node(inner, start, at, depth)

    def _node(self, wire: int, at: int, end: int, depth: int) -> None:
        _must_be_message(wire, at)
        texts = {_NODE_NAME: b"", _NODE_OP_TYPE: b"", _NODE_DOMAIN: b""}
        values: dict[bytes, int | bytes | None] = {}
        while at < end:
            number, inner, start, at = self._fields.field(at, end)
            if number in texts:
                texts[number] = self._short(inner, start, at)
            elif number == _NODE_ATTRIBUTE:
                name, value = self._attribute(inner, start, at, depth)
                if name in (_EMBED_MODE, _CACHE, _SOURCE):
                    values[name] = value
        if (texts[_NODE_OP_TYPE], texts[_NODE_DOMAIN]) != (_OP_TYPE, _DOMAIN):
            return
        if len(self._found) == _MOST_NODES:
            raise Malformed(f"it has more than {_MOST_NODES} EPContext nodes")
        source = values.get(_SOURCE)
        name = texts[_NODE_NAME].decode("utf-8", "replace")
        said = source.decode("utf-8", "replace") if isinstance(source, bytes) else ""
        location = _location(name, values)
        self._names_left -= len(name) + len(said) + len(location or "")
        if self._names_left < 0:
            raise Malformed(f"its EPContext nodes name more than {_MOST_NAMES >> 20} MiB")
        self._found.append(EPContext(name, said, location))

    def _attribute(self, wire: int, at: int, end: int, depth: int) -> tuple[bytes, int | bytes | None]:
        """The name and the value; None for one that is neither a number nor a short text."""
        _must_be_message(wire, at)
        name, value = b"", None
        while at < end:
            number, inner, start, at = self._fields.field(at, end)
            if number == _NAME:
                name = self._short(inner, start, at)
            elif number == _INTEGER:
                value = self._fields.number(inner, start)
            elif number == _STRING:
                value = self._fields.text(inner, start, at) if at - start <= _LONGEST_NAME else None
            elif number in (_GRAPH, _GRAPHS):
                self._graph(inner, start, at, depth + 1)
        return name, value

    def _short(self, wire: int, at: int, end: int) -> bytes:
        """A text; empty for one that is too long to be any that is looked for."""
        return self._fields.text(wire, at, end) if end - at <= _LONGEST_NAME else b""


def _must_be_message(wire: int, at: int) -> None:
    if wire != DELIMITED:
        raise Malformed(f"the field at byte {at} is no message")


def _location(node: str, values: dict[bytes, int | bytes | None]) -> str | None:
    if values.get(_EMBED_MODE, 1) != 0:
        return None
    cache = values.get(_CACHE, b"")
    if not isinstance(cache, bytes):
        raise Malformed(f"the file that EPContext node {node!r} names is no path")
    try:
        return cache.decode("utf-8") or None
    except UnicodeDecodeError:
        raise Malformed(f"the file that EPContext node {node!r} names is not UTF-8") from None
