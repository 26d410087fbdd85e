"""A package with its runtime, installed where there is no network, and its sample run there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from support import sample_models, wheels
from support.cache import cache_root
from support.pouring import ENGINE, EngineStorage
from support.runtimes import install
from support.sample_lines import assert_same, expected, printed
from support.sample_packages import shapes_of
from support.verifying import checks, failed

from packhouse.schemas.files import RuntimeLock
from packhouse.worker.settings import Settings

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]

VERSION: Final = "1.20.1"
HERE: Final = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def storage(tmp_path: Path, redis_url: str, namespace: str) -> EngineStorage:
    settings = Settings(
        redis_url=redis_url,
        namespace=namespace,
        cache_dir=str(cache_root() / "runtime-packages"),
        runtime_source="index",
        runtime_dependencies=True,
        runtime_pythons=(HERE,),
    )
    root = tmp_path / "storage"
    root.mkdir()
    return EngineStorage(root, settings=settings)


@pytest.fixture
def archive(storage: EngineStorage) -> Path:
    """A package of a real model and of one with external data, of an engine that had an older ONNX Runtime."""
    silero = storage.root / "silero-vad.onnx"
    shutil.copyfile(wheels.model("silero-vad"), silero)
    external = sample_models.write("external", storage.root / "external" / "net.onnx")
    engine = {
        "name": "olive",
        "version": "0.6.2",
        "directories": [ENGINE],
        "runtime_packages": [{"name": "onnxruntime", "version": VERSION}],
    }
    models = [{"model_path": storage.engine_path(path)} for path in (silero, external)]
    path, poured = storage.pour(storage.made_up(*models, engine=engine))
    assert [each.verdict.state for each in poured.checks] == ["passed"] * 2
    assert [each for each in poured.warnings if "NuGet" not in each] == []
    return path


def run(python: Path, package: Path, *arguments: str) -> str:
    command = [str(python), "-W", "error", str(package / "SampleCode" / "python" / "sample.py"), *arguments]
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", env={"PATH": os.environ["PATH"]}, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_sample_runs_with_nothing_but_what_is_packed(archive: Path, tmp_path: Path) -> None:
    assert failed(archive) == {}
    assert checks(archive)["runtimes"]["state"] == "ok"
    package = tmp_path / "package"
    subprocess.run(["unzip", "-q", str(archive), "-d", str(package)], check=True)
    lock = RuntimeLock.model_validate_json((package / "ONNXRuntimePackages" / "packages.lock.json").read_bytes())
    assert VERSION in {file.version for file in lock.files if file.name == "onnxruntime"}
    python = install(package, tmp_path / "venv")
    ask = "import onnxruntime, sys; print(onnxruntime.__version__, sys.prefix)"
    told = subprocess.run([str(python), "-I", "-c", ask], capture_output=True, text=True, check=True, timeout=60).stdout
    assert told.split() == [VERSION, str(tmp_path / "venv")]
    best, second = sorted((package / "CandidateModels" / "cpu-cpu").iterdir())
    assert_same(printed(run(python, package)), expected(best / "model.onnx", shapes_of(package)))
    assert_same(printed(run(python, package, str(second))), expected(second / "model.onnx", {}))


def test_what_the_readme_of_the_sample_says_installs_it_too(archive: Path, tmp_path: Path) -> None:
    package = tmp_path / "package"
    subprocess.run(["unzip", "-q", str(archive), "-d", str(package)], check=True)
    sample = package / "SampleCode" / "python"
    command = "pip install --no-index --find-links ../../ONNXRuntimePackages/python -r requirements.txt"
    assert command in (sample / "README.md").read_text("utf-8")
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(python), *command.split()[1:]]
    nothing_else = {"PATH": os.environ["PATH"], "PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(pip, cwd=sample, env=nothing_else, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    best = package / "CandidateModels" / "cpu-cpu" / "BestCandidateModel_1"
    assert_same(printed(run(python, package)), expected(best / "model.onnx", shapes_of(package)))
