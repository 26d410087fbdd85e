"""The engine's storage, and small models to put there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.pouring import EngineStorage


def save_model(path: Path, *, external: str | None = None, seed: int = 0, size: int = 64) -> Path:
    """A model of one multiplication, its weight in another file if so asked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    weight = np.random.default_rng(seed).standard_normal((size, size), dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="/model/MatMul")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, size])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    if external is None:
        onnx.save_model(model, path)
    else:
        (path.parent / external).parent.mkdir(parents=True, exist_ok=True)
        onnx.save_model(model, path, save_as_external_data=True, location=external, size_threshold=0)
    return path


@pytest.fixture
def farm(tmp_path: Path) -> EngineStorage:
    root = tmp_path / "storage"
    root.mkdir()
    return EngineStorage(root)


@pytest.fixture
def model() -> Callable[..., Path]:
    return save_model
