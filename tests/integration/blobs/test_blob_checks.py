"""Models in blobs, tried from a copy up to a limit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.blobs import BlobPlace

from packhouse.schemas.checks import CheckState
from packhouse.schemas.files import InferenceConfig
from packhouse.worker.models.parts import OnnxMain, SourceFile
from packhouse.worker.models.scratch import NotLaidOut, laid_out
from packhouse.worker.models.session_settings import allowed
from packhouse.worker.models.trial import Trial, tried

CPU = "CPUExecutionProvider"


def files(place: BlobPlace, folder: Path) -> list[SourceFile]:
    weight = np.ones((64, 64), dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 64])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save_model(model, folder / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    found: list[SourceFile] = []
    for name, here in (("model.onnx", "m.onnx"), ("w.bin", "w.bin")):
        place.put(f"checks/{here}", (folder / here).read_bytes())
        location = place.at(f"checks/{here}")
        with place.storage.open_file(location) as file:
            found.append(SourceFile(name, location, file.size, file.mark))
    return found


def test_a_model_in_blobs_is_tried_from_a_copy(place: BlobPlace, tmp_path: Path) -> None:
    found = files(place, tmp_path)
    settings = allowed(InferenceConfig(execution_provider=[(CPU, {})], session_options={}))
    trial = Trial(OnnxMain("model.onnx"), settings, memory=4 << 30, seconds=60, run=True)
    copied: list[int] = []
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with laid_out(
        found, "model.onnx", place.storage, scratch=str(scratch), most_copied=1 << 20, advance=copied.append
    ) as laid:
        outcome = tried(trial, laid, lambda: None)
    assert outcome.verdict.state is CheckState.PASSED
    assert outcome.shapes == {"x": (1, 64)}
    assert sum(copied) == sum(file.size for file in found)
    assert not list(scratch.iterdir())


def test_a_model_in_blobs_that_is_larger_than_the_limit_is_not_read(place: BlobPlace, tmp_path: Path) -> None:
    found = files(place, tmp_path)
    copied: list[int] = []
    with (
        pytest.raises(NotLaidOut, match="1000"),
        laid_out(found, "model.onnx", place.storage, scratch=str(tmp_path), most_copied=1000, advance=copied.append),
    ):
        pass
    assert copied == []
