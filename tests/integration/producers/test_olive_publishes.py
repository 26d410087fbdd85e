"""Microsoft Olive itself, with the three lines that have its models packaged; and the least that they need."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from support.farm import Farm
from support.olive import VERSIONS, olive
from support.venvs import environment

from packhouse.schemas import STATUS_EVENT, Keys, RunFinished
from packhouse.schemas.status import CompletedEvent

pytestmark = pytest.mark.full

PROJECT = Path(__file__).parents[3]
SAMPLES = PROJECT / "tests" / "data"
MODEL = SAMPLES / "olive-0.13.0-search" / "models" / "digits_mlp.onnx"
SCRIPT = PROJECT / "tests" / "support" / "olive_run.py"
PUBLISHES = """
import pkgutil, sys
from importlib import import_module
import packhouse.producers, packhouse.schemas
for package in (packhouse.producers, packhouse.schemas):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.startswith("packhouse.producers.cli"):
            import_module(module.name)
from packhouse.producers.olive import publish_output
publish_output(sys.argv[1], {"type": "Zipfile"})
"""
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as it is installed, without anything that it needs."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    kept = shutil.ignore_patterns(".*", "tests", "__pycache__")
    shutil.copytree(PROJECT, source, ignore=kept)
    made = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*made, str(source)], check=True, timeout=300)
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.fixture
def run(wheel: Path, tmp_path: Path, redis_server: str, namespace: str) -> Run:
    def run(python: Path, *arguments: str, paths: tuple[Path, ...] = ()) -> subprocess.CompletedProcess[str]:
        told = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "PYTHONPATH": os.pathsep.join(map(str, (wheel, *paths))),
            "PACKHOUSE_REDIS_URL": redis_server,
            "PACKHOUSE_NAMESPACE": namespace,
        }
        done = subprocess.run(
            [str(python), "-P", *arguments], env=told, cwd=tmp_path, capture_output=True, text=True, timeout=300,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done

    return run


@pytest.mark.parametrize("version", VERSIONS)
def test_three_lines_after_a_run_of_olive_have_its_models_packaged(
    version: str, farm: Farm, run: Run, tmp_path: Path
) -> None:
    packaging = tmp_path / "packaging.json"
    packaging.write_text('{"type": "Zipfile", "name": "quantized"}')
    redis = tmp_path / "redis"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(redis), "redis"]
    subprocess.run(install, check=True, timeout=300, capture_output=True)
    farm.start()
    said = run(olive(version), str(SCRIPT), str(MODEL), str(tmp_path), str(packaging), paths=(redis,)).stdout
    *_, event, last = said.splitlines()
    final = STATUS_EVENT.validate_json(last)
    assert isinstance(final, CompletedEvent)
    assert final.data.state == "succeeded", final
    (candidate,) = final.data.candidates
    assert str(candidate.accelerator) == "cpu-cpu"
    assert candidate.metrics
    assert "latency-avg" in candidate.metrics
    with zipfile.ZipFile(tmp_path / "out" / "quantized.zip") as package:
        assert "CandidateModels/cpu-cpu/BestCandidateModel_1/model.onnx" in package.namelist()
    engine = RunFinished.model_validate_json(event).data.engine
    assert engine.version == version
    assert {package.name for package in engine.runtime_packages} == {"onnxruntime"}


def test_an_engine_gets_by_with_the_oldest_pydantic_and_redis_that_are_allowed(
    run: Run, redis: Redis, namespace: str
) -> None:
    project: Any = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    oldest = [text.replace(">=", "==").partition(",")[0] for text in project["dependencies"]]
    assert len(oldest) == 2
    python = environment("oldest", oldest)
    run(python, "-c", PUBLISHES, str(SAMPLES / "olive-0.6.2-cpu-and-openvino" / "output_dir"))
    assert redis.xlen(Keys(namespace).run_queue) == 1
