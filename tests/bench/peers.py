"""Others that make archives, each in a process of its own and in an environment that holds it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.measure import Usage, settle
from bench.registry import NotHere
from support.olive import olive
from support.venvs import environment

CHILDREN = Path(__file__).with_name("children")
TESTS = Path(__file__).parents[1]
STREAMING = ("zipstream-ng==1.9.0", "stream-zip==0.0.83", "isal==1.8.0")


def archived(way: str, target: Path, files: Sequence[Path]) -> Usage:
    """An archive by one of the ways of ``archive.py``; gone when this returns."""
    python = _had(lambda: environment("zip-streams", STREAMING)) if "stream" in way else Path(sys.executable)
    return _run(python, "archive.py", [way, target, *files], target)


def by_olive(version: str, folder: Path, models: Sequence[Path]) -> Usage:
    """Olive's own packaging of the models as candidates; gone when this returns."""
    return _run(_had(lambda: olive(version)), "olive_packaging.py", [folder, "olive", *models], folder / "olive.zip")


def packaged(root: Path, models: Sequence[Path]) -> Usage:
    """The packager of this project, the models lying below the root; the package is gone when this returns."""
    return _run(Path(sys.executable), "ours.py", [root, "ours", *models], root / "out" / "ours.zip")


def _had(make: Callable[[], Path]) -> Path:
    try:
        return make()
    except RuntimeError as error:
        raise NotHere(str(error).splitlines()[0]) from error


def _run(python: Path, script: str, arguments: Sequence[str | Path], made: Path) -> Usage:
    told = {"PYTHONPATH": str(TESTS), "HF_HUB_OFFLINE": "1", "PACKHOUSE_RUNTIME_SOURCE": "off"}
    command = [python, CHILDREN / script, *arguments]
    done = subprocess.run(command, env=os.environ | told, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{script}: {done.stderr[-2000:]}")
    usage = Usage(**json.loads(done.stdout.splitlines()[-1]))
    settle(made)
    return usage
