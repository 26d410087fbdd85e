from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from support.sample_packages import Packages

Ended = subprocess.CompletedProcess[str]
Runner = Callable[..., Ended]


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory, redis_server: str) -> Callable[[str], Path]:
    """The unpacked package of a model by its name, made once."""
    made: dict[str, Path] = {}
    making = Packages(tmp_path_factory.mktemp("samples"), redis_server, f"test-{uuid.uuid4().hex[:12]}")

    def package(name: str) -> Path:
        if name not in made:
            made[name] = making.of(name)
        return made[name]

    return package


@pytest.fixture
def making(tmp_path: Path, redis_url: str, namespace: str) -> Packages:
    """Packages of the test's own."""
    return Packages(tmp_path, redis_url, namespace)


@pytest.fixture(scope="session")
def python_sample() -> Runner:
    """Runs the Python sample of a package."""

    def run(package: Path, *arguments: str, cwd: Path | None = None) -> Ended:
        command = [sys.executable, "-W", "error", str(package / "SampleCode" / "python" / "sample.py"), *arguments]
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, encoding="utf-8", check=False, timeout=100
        )

    return run
