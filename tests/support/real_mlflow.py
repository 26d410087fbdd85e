"""Real MLflow, in an environment of its own that is kept between runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from support.cache import cached

_REQUIREMENTS: Final = ("mlflow-skinny==3.17.2", "onnx", "onnxruntime", "pandas")
_SCRIPT: Final = Path(__file__).with_name("real_mlflow_script.py")
_INSTALLED_WITHIN: Final = 600.0
_OPENED_WITHIN: Final = 100.0


def opened(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """What MLflow makes of each folder, on the inputs that lie beside it as ``inputs.npz``."""
    done = subprocess.run(
        [str(_environment() / "bin" / "python"), "-P", str(_SCRIPT)],
        input=json.dumps([str(folder) for folder in folders]),
        env={"PATH": os.environ["PATH"], "HOME": str(folders[0].parent), "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        timeout=_OPENED_WITHIN,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _environment() -> Path:
    def make(folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, timeout=_INSTALLED_WITHIN)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run(
            [*pip, *_REQUIREMENTS], capture_output=True, text=True, check=False, timeout=_INSTALLED_WITHIN
        )
        if done.returncode:
            pytest.fail(f"pip could not install {' '.join(_REQUIREMENTS)}: {done.stderr}")

    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return cached(f"mlflow-3.17.2-python-{version}", make)
