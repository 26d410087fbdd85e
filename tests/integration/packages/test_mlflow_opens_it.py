"""What is laid out in the MLflow format, opened by real MLflow and run."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from support.real_mlflow import opened

from packhouse.schemas.events import FinishedRun
from packhouse.schemas.packaging import PackagingConfig

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]

Model = Callable[..., Path]
Inputs = Mapping[str, np.ndarray]
ODD = 'in "put": {} # é \U0001f600'


def packaged(farm, event: FinishedRun, folder: Path) -> None:
    """The best candidate's folder of an unpacked ZIP in the MLflow format, moved somewhere else."""
    options = {"type": "Zipfile", "name": folder.parent.name, "config": {"export_in_mlflow_format": True}}
    archive, poured = farm.pour(event, PackagingConfig.model_validate(options))
    unpacked = folder.parent / "unpacked"
    subprocess.run(["unzip", "-q", str(archive), "-d", str(unpacked)], check=True)
    (unpacked / poured.models[0]).rename(folder)
    shutil.rmtree(unpacked)


def save(path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    graph = helper.make_graph(nodes, "g", inputs, outputs)
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8), path)
    return path


def tensor(name: str, element: int, *shape: int | str | None) -> Any:
    return helper.make_tensor_value_info(name, element, shape)


def of_several(path: Path) -> Path:
    """A scalar, one of any length and one with a name that YAML would stumble over; three outputs."""
    nodes = [
        helper.make_node("Cast", ["count"], ["as_float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [ODD, "as_float"], ["product"]),
        helper.make_node("Add", ["product", ODD], ["sum"]),
        helper.make_node("Not", ["flags"], ["turned"]),
    ]
    inputs = [
        tensor("count", TensorProto.INT64), tensor(ODD, TensorProto.FLOAT, "batch", 3),
        tensor("flags", TensorProto.BOOL, None),
    ]  # fmt: skip
    outputs = [
        tensor("sum", TensorProto.FLOAT, "batch", 3), tensor("turned", TensorProto.BOOL, None),
        tensor("product", TensorProto.FLOAT, "batch", 3),
    ]  # fmt: skip
    return save(path, nodes, inputs, outputs)


def of_text(path: Path) -> Path:
    inputs, outputs = [tensor("words", TensorProto.STRING, "n")], [tensor("same", TensorProto.STRING, "n")]
    return save(path, [helper.make_node("Identity", ["words"], ["same"])], inputs, outputs)


def of_a_sequence(path: Path) -> Path:
    node = helper.make_node("SplitToSequence", ["x"], ["parts"], axis=0)
    parts = helper.make_tensor_sequence_value_info("parts", TensorProto.FLOAT, None)
    return save(path, [node], [tensor("x", TensorProto.FLOAT, "n", 2)], [parts])


def expected(folder: Path, inputs: Inputs) -> dict[str, Any]:
    (main,) = folder.rglob("model.onnx")
    session: Any = onnxruntime.InferenceSession(str(main), providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def same(told: Any, value: Any) -> bool:
    if isinstance(value, list):
        return len(told) == len(value) and all(map(same, told, value))
    if told["shape"] != list(value.shape) or told["dtype"] != value.dtype.name:
        return False
    values = value.ravel().tolist()
    # A session with other options adds up in another order.
    return np.allclose(told["values"], values, 1e-4, 1e-5) if value.dtype.kind == "f" else told["values"] == values


def test_mlflow_opens_and_runs_every_kind_that_is_exported(farm, model: Model, tmp_path: Path) -> None:
    def at(name: str) -> Path:
        return farm.root / name / "net.onnx"

    def run_of(path: Path, settings: dict[str, Any] | None = None, **config: Any) -> FinishedRun:
        more = {"inference_settings": settings} if settings else {}
        return farm.made_up({"model_path": farm.engine_path(path), **more, **config})

    options = {
        "execution_provider": ["CPUExecutionProvider"],
        "provider_options": [{"arena_extend_strategy": "kSameAsRequested"}],
        "session_options": {"intra_op_num_threads": 1, "execution_mode": 0, "graph_optimization_level": 99,
                            "extra_session_config": {"session.disable_prepacking": True}},
    }  # fmt: skip
    row = {"x": np.linspace(-1, 1, 64, dtype=np.float32).reshape(1, 64)}
    digits = np.linspace(0, 16, 64, dtype=np.float32).reshape(1, 64)
    several = {"count": np.array(3), ODD: np.arange(6, dtype=np.float32).reshape(2, 3), "flags": np.array([True])}
    nested = model(farm.root / "nested" / "onnx" / "net.onnx", external="weights/net.bin").parents[1]
    runs: dict[str, tuple[FinishedRun, Inputs]] = {
        "external": (run_of(model(at("external"), external="data/net.bin")), row),
        "options": (run_of(model(at("options"), seed=1), options), row),
        "nested": (run_of(nested, onnx_file_name="onnx/net.onnx"), row),
        "several": (run_of(of_several(at("several"))), several),
        "text": (run_of(of_text(at("text"))), {"words": np.array(["wée", "\U0001f600"])}),
        "sequence": (run_of(of_a_sequence(at("sequence"))), {"x": np.ones((2, 2), np.float32)}),
        "olive": (farm.sample("olive-0.6.2-cpu-and-openvino"), {"x": digits}),
    }
    folders: list[Path] = []
    for name, (event, inputs) in runs.items():
        moved = tmp_path / "moved" / name / "model"
        moved.parent.mkdir(parents=True)
        packaged(farm, event, moved)
        np.savez(moved.parent / "inputs.npz", allow_pickle=False, **dict(inputs))
        folders.append(moved)
    shutil.rmtree(farm.root)
    told = dict(zip(runs, opened(folders), strict=True))
    for (name, (_, inputs)), folder in zip(runs.items(), folders, strict=True):
        right = expected(folder, inputs)
        assert set(told[name]["outputs"]) == set(right)
        assert all(same(told[name]["outputs"][each], value) for each, value in right.items()), name
    assert told["options"]["providers"] == [["CPUExecutionProvider", {"arena_extend_strategy": "kSameAsRequested"}]]
    assert (told["options"]["threads"], told["external"]["threads"]) == (1, 0)
    assert told["several"]["signature"] == {
        "inputs": [["count", "int64", []], [ODD, "float32", [-1, 3]], ["flags", "bool", [-1]]],
        "outputs": [["sum", "float32", [-1, 3]], ["turned", "bool", [-1]], ["product", "float32", [-1, 3]]],
    }
    assert told["text"]["signature"]["inputs"] == [["words", "str", [-1]]]
    assert told["sequence"]["signature"]["outputs"] is None
    assert len({each["uuid"] for each in told.values()}) == len(told)
    for each in told.values():
        assert each["python"] == each["conda"]["python"] == "3.11"
        assert each["requirements"].splitlines() == each["conda"]["dependencies"]
