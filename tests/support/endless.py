"""A model that loads, and whose run never ends."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper


def save_endless(path: Path) -> Path:
    """Input ``x`` and output ``y``, one float each."""
    one, truth = (TensorProto.FLOAT, [1]), (TensorProto.BOOL, [])
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["c_out"]), helper.make_node("Identity", ["v"], ["v_out"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", *truth),
            helper.make_tensor_value_info("v", *one),
        ],
        [helper.make_tensor_value_info("c_out", *truth), helper.make_tensor_value_info("v_out", *one)],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["trips", "yes", "x"], ["y"], body=body)],
        "g",
        [helper.make_tensor_value_info("x", *one)],
        [helper.make_tensor_value_info("y", *one)],
        [
            helper.make_tensor("trips", TensorProto.INT64, [], [1 << 62]),
            helper.make_tensor("yes", TensorProto.BOOL, [], [True]),
        ],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path
