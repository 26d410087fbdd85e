"""The sample of a generative model, run by real onnxruntime-genai in an environment of its own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support.generative import save_generative
from support.sample_packages import Packages, onnx
from support.venvs import environment

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]

CANDIDATE = "CandidateModels/cpu-cpu/BestCandidateModel_1"


@pytest.fixture(scope="module")
def genai() -> Path:
    return environment("genai", ["onnxruntime-genai==0.18.0"])


def run(python: Path, package: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(python), str(package / "SampleCode" / "python" / "sample.py"), *arguments]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=False, timeout=100)


def test_the_sample_continues_a_text(genai, making: Packages):
    folder = save_generative(making.place("generative/model").parent / "folder")
    package = making.made("generative", onnx(folder, onnx_file_name="decoder.onnx"))
    ended = run(genai, package, "--prompt", "xyz", "--tokens", "4")
    assert (ended.returncode, ended.stdout) == (0, "{|}~\n"), ended.stderr
    ended = run(genai, package, str(package / CANDIDATE), "--prompt", "!", "--tokens", "1000", "--cpu")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "".join(chr(ord("!") + at) for at in range(1, 48)) + "\n"
    ended = run(genai, package, "--tokens", "3")
    assert (ended.returncode, ended.stdout) == (0, "@AB\n"), ended.stderr


def test_a_mistake_gives_one_sentence_and_exit_code_2(genai, making: Packages, tmp_path):
    folder = save_generative(making.place("generative/model").parent / "folder")
    package = making.made("generative", onnx(folder, onnx_file_name="decoder.onnx"))
    for argument, said in (("/nowhere", "/nowhere is no folder"), (str(tmp_path / "empty"), "no genai_config.json")):
        (tmp_path / "empty").mkdir(exist_ok=True)
        ended = run(genai, package, argument)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert said in ended.stderr
    (package / CANDIDATE / "model.onnx").write_bytes(b"broken")
    ended = run(genai, package)
    assert ended.returncode == 2
    assert "onnxruntime-genai could not run the model: " in ended.stderr
    assert "Traceback" not in ended.stderr
