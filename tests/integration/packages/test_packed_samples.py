"""The samples of a package that was made from a real run, unpacked and run as they are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.cpp import build_sample
from support.sample_lines import assert_same, expected, printed

SAMPLES = ["olive-0.6.2-cpu-and-openvino", "olive-0.13.0-search"]


def unpacked(farm, name: str) -> Path:
    package, _ = farm.pour(farm.sample(name))
    folder = farm.root / "unpacked"
    subprocess.run(["unzip", "-q", str(package), "-d", str(folder)], check=True)
    return folder


def best_of(package: Path) -> Path:
    """The file of the best candidate, as the package itself names it."""
    ranks = json.loads((package / "models_rank.json").read_text())
    return package / ranks[0]["model_config"]["config"]["model_path"]


def run(command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, encoding="utf-8", check=False, timeout=100)


@pytest.mark.parametrize("name", SAMPLES)
def test_the_python_sample_runs_right_after_unzip_on_every_candidate(name, farm):
    package = unpacked(farm, name)
    sample = [sys.executable, str(package / "SampleCode" / "python" / "sample.py")]
    candidates = sorted(package.glob("CandidateModels/*/*"))
    assert best_of(package).parent in candidates
    for arguments, model in [([], best_of(package)), *(([str(each)], each / "model.onnx") for each in candidates)]:
        ended = run([*sample, *arguments], package)
        assert ended.returncode == 0, ended.stderr
        assert_same(printed(ended.stdout), expected(model, {}))


@pytest.mark.full
@pytest.mark.parametrize("name", SAMPLES)
def test_the_cpp_sample_runs_right_after_it_was_compiled(name, farm):
    package = unpacked(farm, name)
    ended = run([str(build_sample(package / "SampleCode" / "cpp"))], package)
    assert ended.returncode == 0, ended.stderr
    assert_same(printed(ended.stdout), expected(best_of(package), {}))
