"""A model that OpenVINO itself wrote runs from the package."""

from __future__ import annotations

import json
import subprocess
import zipfile
from pathlib import Path

import pytest
from support.venvs import environment

pytestmark = pytest.mark.full

_SAVES = """
import sys, numpy, openvino
from openvino import opset13 as ops
x = ops.parameter([1, 4], numpy.float32, name="x")
weight = ops.constant(numpy.arange(16, dtype=numpy.float32).reshape(4, 4))
model = openvino.Model([ops.matmul(x, weight, False, False)], [x], "net")
openvino.save_model(model, sys.argv[1], compress_to_fp16=False)
"""
_RUNS = """
import sys, numpy, openvino
compiled = openvino.Core().compile_model(sys.argv[1], "CPU")
print([float(value) for value in compiled(numpy.ones((1, 4), numpy.float32))[0].ravel()])
"""


def openvino(code: str, path: Path) -> str:
    python = environment("openvino", ["openvino==2026.1.0"])
    command = [str(python), "-c", code, str(path)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout


@pytest.mark.parametrize("named", ["ir/net.xml", "ir"])
def test_an_openvino_model_runs_from_the_package(farm, named: str) -> None:
    (farm.root / "ir").mkdir()
    openvino(_SAVES, farm.root / "ir" / "net.xml")
    path, _ = farm.pour(farm.made_up({"type": "OpenVINOModel", "model_path": farm.engine_path(farm.root / named)}))
    package = farm.root.parent / "unpacked"
    with zipfile.ZipFile(path) as archive:
        archive.extractall(package)
    [entry] = json.loads((package / "models_rank.json").read_text())
    folder = package / entry["model_config"]["config"]["model_path"]
    assert sorted(file.name for file in folder.iterdir() if file.suffix != ".json") == ["net.bin", "net.xml"]
    assert openvino(_RUNS, folder / "net.xml").strip() == "[24.0, 28.0, 32.0, 36.0]"
