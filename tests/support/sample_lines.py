"""What a sample prints, and what it ought to print: the same model on the same inputs in Python, by other code."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto

SHOWN: Final = 16
RTOL, ATOL = 1e-3, 1e-5

_CAST: Final = " as float"
_LINE: Final = re.compile(r"(?P<name>.*): (?:(?P<none>none)|(?P<element>\w+)\[(?P<shape>[\d,]*)\](?P<values>.*))")
_VALUE: Final = re.compile(r' ("(?:[^"\\]|\\.)*"|[^ "]+)')
_DTYPES: Final = {"float": "float32", "double": "float64", "string": "object", "bool": "bool"}


@dataclass(frozen=True)
class Line:
    """An output, or a member of one."""

    name: str
    element: str | None
    """None for what is absent."""
    shape: tuple[int, ...]
    values: tuple[float | str, ...]
    more: bool


def printed(text: str) -> list[Line]:
    """The lines that a sample wrote to its standard output; fails for a line that is of another form."""
    return [_parsed(line) for line in text.splitlines()]


def _parsed(line: str) -> Line:
    found = _LINE.fullmatch(line)
    assert found, f"no line of an output: {line!r}"
    if found["none"]:
        return Line(found["name"], None, (), (), more=False)
    text, more = (found["values"].removesuffix(" …"), found["values"].endswith(" …"))
    words = _VALUE.findall(text)
    assert "".join(f" {word}" for word in words) == text, f"no values: {line!r}"
    assert not [word for word in words if found["element"] == "bool" and word not in ("true", "false")]
    shape = tuple(int(size) for size in found["shape"].split(",")) if found["shape"] else ()
    return Line(found["name"], found["element"], shape, tuple(_value(word) for word in words), more)


def _value(word: str) -> float | str:
    if word.startswith('"'):
        return str(json.loads(word))
    return float(word == "true") if word in ("true", "false") else float(word)


def expected(model: Path, shapes: Mapping[str, tuple[int, ...]]) -> list[Line]:
    """What onnxruntime in Python makes of generated inputs, with 1 for every dimension that nothing is said of."""
    session = onnxruntime.InferenceSession(_in_known_types(model), providers=["CPUExecutionProvider"])
    feeds: dict[str, Any] = {}
    for each in session.get_inputs():
        shape = shapes.get(each.name, tuple(size if isinstance(size, int) else 1 for size in each.shape))
        feeds[each.name] = _input(re.findall(r"\w+", each.type)[-1], shape)
    values = session.run(None, feeds)
    return [
        line
        for each, value in zip(session.get_outputs(), values, strict=True)
        for line in _lines(each.name.removesuffix(_CAST), "bfloat16" if each.name.endswith(_CAST) else each.type, value)
    ]


def _in_known_types(model: Path) -> str | bytes:
    """The model's path, or, where it has an output in bfloat16, which numpy cannot say, one with that cast to float."""
    proto = onnx.load_model(str(model), load_external_data=False)
    halves = [each for each in proto.graph.output if each.type.tensor_type.elem_type == TensorProto.BFLOAT16]
    for each in halves:
        proto.graph.node.append(onnx.helper.make_node("Cast", [each.name], [each.name + _CAST], to=TensorProto.FLOAT))
        each.name += _CAST
        each.type.tensor_type.elem_type = TensorProto.FLOAT
    return proto.SerializeToString() if halves else str(model)


def _input(element: str, shape: tuple[int, ...]) -> Any:
    count = math.prod(shape)
    if element in ("float", "double", "float16", "bfloat16"):
        made = np.array([((at * 7 + 3) % 17) / 17 for at in range(count)], np.float64)
    elif element == "string":
        made = np.array(["text"] * count, object)
    else:
        made = np.array([at % 2 for at in range(count)])
    if element == "bfloat16":
        bits = made.astype(ml_dtypes.bfloat16).view(np.uint16).reshape(shape)
        return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, TensorProto.BFLOAT16)
    return made.astype(_DTYPES.get(element, element)).reshape(shape)


def _lines(name: str, kind: str, value: Any) -> Iterator[Line]:
    clean = re.sub(r"[\x00-\x1f\x7f]", "?", name)
    if value is None:
        yield Line(clean, None, (), (), more=False)
    elif isinstance(value, list):
        for at, member in enumerate(value):
            yield from _lines(f"{name}[{at}]", kind, member)
    elif isinstance(value, dict):
        for key, member in value.items():
            yield from _lines(f"{name}[{key}]", kind, member)
    else:
        tensor = np.asarray(value)
        first = [each if isinstance(each, str) else float(each) for each in tensor.ravel()[:SHOWN]]
        yield Line(clean, re.findall(r"\w+", kind)[-1], tensor.shape, tuple(first), more=tensor.size > SHOWN)


def assert_same(printed: list[Line], expected: list[Line]) -> None:
    """Names, types, shapes and texts are equal, numbers nearly so."""
    assert [(each.name, each.element, each.shape, each.more) for each in printed] == [
        (each.name, each.element, each.shape, each.more) for each in expected
    ]
    for one, other in zip(printed, expected, strict=True):
        texts = [each for each in other.values if isinstance(each, str)]
        if texts:
            assert one.values == other.values
        else:
            numbers = [np.array(each.values, np.float64) for each in (one, other)]
            np.testing.assert_allclose(*numbers, rtol=RTOL, atol=ATOL, err_msg=one.name)
