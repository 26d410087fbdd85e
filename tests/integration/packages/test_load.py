"""Loading a model in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from packhouse.worker.models.load import load_error

Model = Callable[..., Path]


def test_a_model_that_is_whole_loads(tmp_path: Path, model: Model) -> None:
    assert load_error(str(model(tmp_path / "m.onnx")), weights=1000) is None
    assert load_error(str(model(tmp_path / "e.onnx", external="w/e.bin")), weights=1000) is None


@pytest.mark.parametrize("content", [b"", b"text", b"\x08\x08:\x02\n\x00"])
def test_what_does_not_load_is_told_in_a_short_text_without_the_folder(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    error = load_error(str(tmp_path / "m.onnx"), weights=1000)
    assert error
    assert str(tmp_path) not in error
    assert len(error) < 600


def test_the_loading_process_sees_no_environment_and_has_limits(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PACKHOUSE_SECRET", "x")
    child = tmp_path / "python"
    child.write_text(
        f"#!{sys.executable} -I\n"
        "import json, os, sys\n"
        "limits = json.loads(sys.argv[5])\n"
        "print(json.dumps({'not_loaded': json.dumps([sorted(os.environ), sorted(limits)])}))\n"
    )
    child.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(child))
    told = load_error(str(tmp_path / "m.onnx"), weights=0)
    assert told is not None
    assert "PACKHOUSE_SECRET" not in told
    assert '["cpu_seconds", "memory", "parent"]' in told


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("import sys; sys.exit('broken')", "status 1: broken"),
        ("print('no answer')", "status 0"),
    ],
)
def test_a_loading_process_that_dies_is_an_answer_too(tmp_path: Path, monkeypatch, body: str, words: str) -> None:
    child = tmp_path / "python"
    child.write_text(f"#!{sys.executable} -I\n{body}\n")
    child.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(child))
    error = load_error(str(tmp_path / "m.onnx"), weights=0)
    assert error is not None
    assert words in error


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a process to its parent")
def test_the_loading_process_refuses_to_outlive_its_parent(tmp_path: Path, model: Model) -> None:
    limits = json.dumps({"memory": 8 << 30, "cpu_seconds": 60, "parent": os.getpid() + 1})
    child = [sys.executable, "-I", "-m", "packhouse.worker.models.load_child"]
    path = str(model(tmp_path / "m.onnx"))
    done = subprocess.run([*child, limits, path], capture_output=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stdout == b""
