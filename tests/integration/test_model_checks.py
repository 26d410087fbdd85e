"""Models tried by real workers before they are packaged."""

from __future__ import annotations

import json
import zipfile
from html import unescape
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper
from support.farm import Farm, RunMaker

from packhouse.schemas import RunState
from packhouse.schemas.checks import CheckState
from packhouse.schemas.errors import ErrorCode
from packhouse.schemas.files import Manifest


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


def test_where_no_verdict_fails_a_package_the_status_the_manifest_and_the_report_tell_it(
    checking_farm: Farm, make_run: RunMaker
) -> None:
    checking_farm.extra["PACKHOUSE_CHECK_FAILS"] = ""
    event = make_run()
    broken(make_run.folder / "models" / "m1" / "model.onnx")
    checking_farm.start()
    checking_farm.publish(event)
    final = checking_farm.wait_final(event)
    assert final.data.state is RunState.SUCCEEDED
    (package,) = final.data.packages
    good, bad = package.checks
    assert (good.model_id, good.verdict.state, good.verdict.ran) == ("m0", CheckState.PASSED, True)
    assert (bad.model_id, bad.verdict.state, bad.verdict.ran) == ("m1", CheckState.FAILED, False)
    reason = bad.verdict.reason or ""
    assert "It does not load on CPUExecutionProvider" in reason
    assert "NoSuchOperator" in reason
    assert package.path is not None
    with zipfile.ZipFile(package.path) as archive:
        manifest, page = Manifest.model_validate_json(archive.read("manifest.json")), archive.read("report.html")
    assert manifest.checks == package.checks
    assert "does not load on CPUExecutionProvider" in unescape(page.decode())
    assert Path(package.path).with_suffix(".report.html").read_bytes() == page
