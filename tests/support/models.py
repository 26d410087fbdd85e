"""Small ONNX models of every shape on disk, and candidates' folders laid out of them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto, TensorProto, helper, numpy_helper

from packhouse.schemas.accelerator import Accelerator
from packhouse.schemas.footprint import ModelConfig, Node
from packhouse.schemas.ranking import RankedCandidate
from packhouse.worker.models.source import ModelSource
from packhouse.worker.package.candidate import Candidate, candidate_folder
from packhouse.worker.package.scrub import Scrubber
from packhouse.worker.package.tree import Made, ModelFile

SIZE = 16
ROOT = "CandidateModels/cpu-cpu/BestCandidateModel_1"


def two_layers(seed: int = 0) -> ModelProto:
    """Two multiplications and a sum: ``y = x w0 w1 + b``, x and y 1 by 16."""
    random = np.random.default_rng(seed)
    weights = [numpy_helper.from_array(random.standard_normal((SIZE, SIZE), np.float32), f"w{at}") for at in (0, 1)]
    bias = numpy_helper.from_array(random.standard_normal((1, SIZE), np.float32), "b")
    nodes = [
        helper.make_node("MatMul", ["x", "w0"], ["h"]),
        helper.make_node("MatMul", ["h", "w1"], ["i"]),
        helper.make_node("Add", ["i", "b"], ["y"]),
    ]
    return model_of(nodes, [*weights, bias])


def model_of(nodes: list[onnx.NodeProto], initializers: list[TensorProto]) -> ModelProto:
    """A model from ``x`` to ``y``, both 1 by 16."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, SIZE]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], initializers)
    domains = [helper.make_opsetid("", 15), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=domains, ir_version=8)


def save(path: Path, *, external: str | None = None, many: bool = False, seed: int = 0) -> Path:
    """``two_layers`` in a file, its tensors in one other file or in one each where that is asked for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if external is not None:
        (path.parent / external).parent.mkdir(parents=True, exist_ok=True)
    onnx.save_model(
        two_layers(seed),
        str(path),
        save_as_external_data=external is not None or many,
        all_tensors_to_one_file=not many,
        location=external,
        size_threshold=0,
    )
    return path


def save_ep_context(path: Path, context: str, *, embed: bool = False, source: str = "QNN") -> Path:
    """A model that was compiled for one execution provider. The file that it names is not made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    node = helper.make_node(
        "EPContext",
        ["x"],
        ["y"],
        name="compiled",
        domain="com.microsoft",
        main_context=1,
        ep_cache_context=context,
        embed_mode=int(embed),
        source=source,
    )
    onnx.save_model(model_of([node], []), str(path))
    return path


def save_with_given_initializers(path: Path, weights: str) -> Path:
    """A model as Olive's ExtractAdapters leaves it: ``w0`` is given to the session, from a NumPy archive beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    model = two_layers()
    given = model.graph.initializer[0]
    np.savez(path.parent / weights, w0=numpy_helper.to_array(given))
    given.ClearField("raw_data")
    given.data_location = TensorProto.EXTERNAL
    given.external_data.add(key="location", value="dummy-location.bin")
    path.write_bytes(model.SerializeToString())
    return path


def outputs(path: Path, options: Any = None) -> list[float]:
    """What the model makes of ones."""
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    [result] = session.run(None, {"x": np.ones((1, SIZE), np.float32)})
    assert isinstance(result, np.ndarray)
    return [float(value) for value in result.ravel()]


def packed(
    model: ModelConfig, find: Callable[[ModelConfig], ModelSource], package: Path, *, directories: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The folder of a candidate with this model, written below ``package``; returns the model's config as written."""
    cpu = Accelerator.parse("cpu-cpu")
    ranked = RankedCandidate(rank=1, rank_in_accelerator=1, accelerator=cpu, model_id="m", reason="It is alone.")
    nodes = (Node(model_id="in"), Node(model_id="m", parent_model_id="in", from_pass="P", model=model))
    folder = candidate_folder(Candidate(ranked, model, nodes, find(model)), Scrubber(directories), ROOT)
    for path, entry in folder.entries.items():
        target = package / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(entry, Made):
            target.write_bytes(entry.data)
        else:
            assert isinstance(entry, ModelFile)
            subprocess.run(["cp", "--sparse=always", entry.location.path, str(target)], check=True)
    config = folder.rank_entry["model_config"]
    assert isinstance(config, dict)
    return config
