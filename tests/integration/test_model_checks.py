"""Models tried by real workers before they are packaged."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper
from support.farm import Farm, RunMaker

from packhouse.schemas import RunState
from packhouse.schemas.checks import CheckState
from packhouse.schemas.errors import ErrorCode


@pytest.fixture
def checking_farm(farm: Farm) -> Farm:
    farm.extra["PACKHOUSE_CHECK_MODELS"] = "run"
    return farm


def broken(path: Path) -> None:
    """What reads as ONNX and does not load."""
    node = helper.make_node("NoSuchOperator", ["x"], ["y"], domain="own")
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([node], "g", values[:1], values[1:])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    onnx.save_model(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)


def test_models_that_run_are_packaged_with_their_verdicts(checking_farm: Farm, make_run: RunMaker) -> None:
    checking_farm.start()
    event = make_run(packages=[{"type": "Zipfile", "name": "One"}, {"type": "Zipfile", "name": "Two"}])
    checking_farm.publish(event)
    final = checking_farm.wait_final(event)
    assert final.data.state is RunState.SUCCEEDED
    for package in final.data.packages:
        assert [check.verdict.state for check in package.checks] == [CheckState.PASSED] * 2
        assert package.path is not None
        with zipfile.ZipFile(package.path) as archive:
            manifest = json.loads(archive.read("manifest.json"))
        assert [check["verdict"]["ran"] for check in manifest["checks"]] == [True, True]


def test_a_model_that_does_not_load_fails_its_packages(checking_farm: Farm, make_run: RunMaker) -> None:
    event = make_run()
    broken(make_run.folder / "models" / "m1" / "model.onnx")
    checking_farm.start()
    checking_farm.publish(event)
    final = checking_farm.wait_final(event)
    assert final.data.state is RunState.FAILED
    (package,) = final.data.packages
    assert package.error is not None
    assert package.error.code is ErrorCode.MODEL_CHECK_FAILED
    assert "Candidate 2 of cpu-cpu (m1)" in package.error.message
    assert "NoSuchOperator" in package.error.message
