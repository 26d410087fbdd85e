"""Microsoft Olive itself, in environments of its own: whether its loader takes what we wrote."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from support.venvs import environment

VERSIONS: dict[str, tuple[str, ...]] = {
    "0.6.2": (
        "olive-ai==0.6.2",
        "setuptools<81",
        "torch==2.13.0",
        "numpy<2",
        "onnx==1.16.2",
        "onnxruntime==1.18.1",
        "protobuf==3.20.3",
        "transformers==4.42.4",
        "pydantic<3",
        "torchmetrics<1.5",
    ),
    "0.13.0": (
        "olive-ai==0.13.0",
        "torch==2.13.0",
        "onnx==1.23.2",
        "onnxruntime==1.31.1",
        "pydantic==2.12.*",
        "requests",
    ),
}
"""Olive's releases that the samples were made with, and what they still run with today."""

_LOADER = Path(__file__).with_name("olive_load.py")
LOADS_WITHIN = 300.0


def olive(version: str) -> Path:
    """The interpreter that has this version of Olive."""
    return environment(f"olive-{version}", VERSIONS[version])


def loaded(version: str, package: Path, models: list[dict[str, Any]]) -> list[Any]:
    """What Olive finds in each model config, read with the package's root as the working directory.

    An ONNX model gives the names of its session's outputs, a composite those of each component by its name, any other
    the type of Olive's handler.
    """
    # Without -P its own folder would come first, and this module would be taken for Olive.
    command = [str(olive(version)), "-P", str(_LOADER)]
    done = subprocess.run(
        command,
        input=json.dumps(models),
        cwd=package,
        capture_output=True,
        text=True,
        check=False,
        timeout=LOADS_WITHIN,
        env={"PATH": "/usr/bin:/bin", "HOME": str(package.parent), "HF_HUB_OFFLINE": "1", "LC_ALL": "C.UTF-8"},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(found, list)
    return found
