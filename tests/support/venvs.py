"""Environments of Python that tests keep in their cache: what they hold is too much to install each time."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from support.cache import cache_root

INSTALLS_WITHIN = 1800.0


def environment(name: str, requirements: Sequence[str]) -> Path:
    """The interpreter of an environment that holds these requirements and nothing of this project.

    It is made with pip as that is configured, once; whoever asks meanwhile waits. Raises ``RuntimeError`` where a
    requirement cannot be had.
    """
    key = hashlib.sha256("\0".join([sys.version, *requirements]).encode()).hexdigest()[:12]
    folder = cache_root() / "venvs" / f"{name}-{key}"
    python, ready = folder / "bin" / "python", folder / "ready"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            shutil.rmtree(folder, ignore_errors=True)
            _run([sys.executable, "-m", "venv", str(folder)])
            _run([str(python), "-m", "pip", "install", "--quiet", *requirements])
            ready.touch()
    return python


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALLS_WITHIN)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
