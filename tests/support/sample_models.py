"""Small ONNX models with inputs and outputs of every kind that a sample has to cope with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

_OPSETS: Final = {"": 17, "ai.onnx.ml": 3}


def _model(
    nodes: list[NodeProto],
    inputs: list[ValueInfoProto],
    outputs: list[ValueInfoProto],
    weights: list[TensorProto] | None = None,
) -> ModelProto:
    graph = helper.make_graph(nodes, "g", inputs, outputs, weights)
    opsets = [helper.make_opsetid(domain, version) for domain, version in _OPSETS.items()]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


_tensor = helper.make_tensor_value_info


def sequence_out() -> ModelProto:
    """Two tensors in, and both out again in one sequence."""
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    nodes = [helper.make_node("SequenceConstruct", ["a", "b"], ["both"])]
    inputs = [_tensor("a", TensorProto.FLOAT, [2, "n"]), _tensor("b", TensorProto.FLOAT, [1, 3])]
    return _model(nodes, inputs, [helper.make_value_info("both", kind)])


def maps_out(*, words: bool) -> ModelProto:
    """A classifier as scikit-learn's converters write it: a label, and a map of class to probability for each row."""
    classes: list[Any] = ["cat", 'dog "x"', "ü"] if words else [7, 8, 21]
    weights = {"coefficients": [0.5, -1.0, 0.25, 1.0, 0.0, 0.75], "intercepts": [0.1, 0.2, 0.3]}
    labels = {"classlabels_strings" if words else "classlabels_ints": classes}
    told: dict[str, Any] = {"domain": "ai.onnx.ml", "post_transform": "SOFTMAX", **weights, **labels}
    classifier = helper.make_node("LinearClassifier", ["x"], ["label", "scores"], **told)
    labels = {"classlabels_strings" if words else "classlabels_int64s": classes}
    told = {"domain": "ai.onnx.ml", **labels}
    maps = helper.make_node("ZipMap", ["scores"], ["probabilities"], **told)
    key = TensorProto.STRING if words else TensorProto.INT64
    inner = helper.make_map_type_proto(key, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    outputs = [
        _tensor("label", key, ["rows"]),
        helper.make_value_info("probabilities", helper.make_sequence_type_proto(inner)),
    ]
    return _model([classifier, maps], [_tensor("x", TensorProto.FLOAT, ["rows", 2])], outputs)


def strings() -> ModelProto:
    """Strings in and out, some of them with signs that a line of text has to escape."""
    said = numpy_helper.from_array(np.array(['a "quoted" \\ one', "two\nlines\t", "ünï"], object), "said")
    nodes = [
        helper.make_node("Identity", ["words"], ["same words"]),
        helper.make_node("Identity", ["said"], ["constant"]),
        helper.make_node("Shape", ["words"], ["count"]),
    ]
    outputs = [
        _tensor("same words", TensorProto.STRING, ["n", 2]),
        _tensor("constant", TensorProto.STRING, [3]),
        _tensor("count", TensorProto.INT64, [2]),
    ]
    return _model(nodes, [_tensor("words", TensorProto.STRING, ["n", 2])], outputs, [said])


def every_element() -> ModelProto:
    """One input of every type of number that a runtime takes, each of them out again; a scalar among them."""
    kinds = ["FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32"]
    nodes: list[NodeProto] = []
    inputs: list[ValueInfoProto] = []
    outputs: list[ValueInfoProto] = []
    for kind in [*kinds, "UINT64", "BOOL"]:
        number, name = getattr(TensorProto, kind), kind.lower()
        shape = [] if kind == "INT32" else [3, "n", 7]
        nodes.append(helper.make_node("Identity", [name], [f"{name} out"]))
        inputs.append(_tensor(name, number, shape))
        outputs.append(_tensor(f"{name} out", number, shape))
    return _model(nodes, inputs, outputs)


def strange_names() -> ModelProto:
    """Names that would be something else in a program, dimensions without a name, infinities and what is no number."""
    name = '"; system("true"); // */ {{ x }} \\ ü\n'
    odd = numpy_helper.from_array(np.array([np.inf, -np.inf, np.nan, 1e-30, 123456789.125], np.float64), "odd")
    nodes = [helper.make_node("Neg", [name], ["out: [1]=,"]), helper.make_node("Identity", ["odd"], ["odd out"])]
    outputs = [_tensor("out: [1]=,", TensorProto.FLOAT, [None, 3]), _tensor("odd out", TensorProto.DOUBLE, [5])]
    return _model(nodes, [_tensor(name, TensorProto.FLOAT, ["?", 3])], outputs, [odd])


def perhaps() -> ModelProto:
    """An input that may be absent, an output that is, and one that is not."""
    kind = helper.make_tensor_type_proto(TensorProto.FLOAT, [2])
    maybe = helper.make_optional_type_proto(kind)
    nodes = [
        helper.make_node("OptionalGetElement", ["maybe"], ["there"]),
        helper.make_node("Optional", [], ["absent"], type=kind),
        helper.make_node("Optional", ["there"], ["present"]),
    ]
    outputs = [
        _tensor("there", TensorProto.FLOAT, [2]),
        helper.make_value_info("absent", maybe),
        helper.make_value_info("present", maybe),
    ]
    return _model(nodes, [helper.make_value_info("maybe", maybe)], outputs)


def external() -> ModelProto:
    """A product with a weight that is large enough to lie outside."""
    weight = numpy_helper.from_array(np.linspace(-1, 1, 64 * 32, dtype=np.float32).reshape(64, 32), "w")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    inputs, outputs = [_tensor("x", TensorProto.FLOAT, ["n", 64])], [_tensor("y", TensorProto.FLOAT, ["n", 32])]
    return _model(nodes, inputs, outputs, [weight])


MADE: Final[dict[str, Callable[[], ModelProto]]] = {
    "sequence": sequence_out,
    "map": lambda: maps_out(words=False),
    "map of words": lambda: maps_out(words=True),
    "strings": strings,
    "every element": every_element,
    "strange names": strange_names,
    "perhaps": perhaps,
    "external": external,
}
"""Name to the model of that name."""


def write(name: str, path: Path) -> Path:
    """Write a model of ``MADE``; the weights of ``external`` into a folder beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if name == "external":
        (path.parent / "weights").mkdir()
        onnx.save_model(MADE[name](), str(path), save_as_external_data=True, location="weights/w.bin", size_threshold=0)
    else:
        path.write_bytes(MADE[name]().SerializeToString())
    return path
