"""What has to be installed for MLflow to open a candidate: the runtime that the engine measured it with.

Source of the forms of ``conda.yaml`` and ``python_env.yaml``: ``mlflow.utils.environment``, MLflow 3.17.2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Self

from packhouse.schemas.events import Engine
from packhouse.schemas.files import InferenceConfig
from packhouse.worker.package.mlflow_options import providers_of

PYTHON: Final = "3.11"
"""What MLflow makes the environment with. The engine's own Python is not known, and the worker's is no matter."""

_RUNTIMES: Final = {
    "CPUExecutionProvider": "onnxruntime",
    "CUDAExecutionProvider": "onnxruntime-gpu",
    "TensorrtExecutionProvider": "onnxruntime-gpu",
    "DmlExecutionProvider": "onnxruntime-directml",
    "OpenVINOExecutionProvider": "onnxruntime-openvino",
    "QNNExecutionProvider": "onnxruntime-qnn",
    "ROCMExecutionProvider": "onnxruntime-rocm",
    "MIGraphXExecutionProvider": "onnxruntime-migraphx",
}
"""Execution provider to the distribution that has it. No name is taken from an event."""
_ANY_RUNTIME: Final = "onnxruntime"
_ANY_MLFLOW: Final = "mlflow>=2.4"
"""The first that takes session options for ONNX models."""
_MLFLOW_OF_OPTIONS: Final = "mlflow>=3.17.2"
"""Earlier ones hand the options of an execution provider to ONNX Runtime in a form that it does not take."""
_LAST_FOR_NUMPY_1: Final = (1, 18)
_MINOR = re.compile(r"(\d{1,6})\.(\d{1,6})(?:\D|$)")


@dataclass(frozen=True)
class Environment:
    """An environment for one candidate."""

    requirements: tuple[str, ...]
    """As pip takes them, sorted."""
    onnx: str | None
    """Version of the onnx package that the engine reported."""

    @classmethod
    def of(cls, engine: Engine, inference: InferenceConfig) -> Self:
        """The environment that opens models with these settings, pinned as far as the engine reported versions."""
        reported = {package.name.lower().replace("_", "-"): package.version for package in engine.runtime_packages}
        runtime = _runtime(inference, reported)
        with_options = any(not isinstance(each, str) for each in providers_of(inference.execution_provider))
        lines = {
            _MLFLOW_OF_OPTIONS if with_options else _ANY_MLFLOW,
            _pinned("onnx", reported.get("onnx")),
            _pinned(runtime, reported.get(runtime)),
        }
        if _wants_numpy_1(reported.get(runtime)):
            lines.add("numpy<2")
        return cls(tuple(sorted(lines)), reported.get("onnx"))

    def requirements_txt(self) -> str:
        """One requirement a line."""
        return "".join(f"{line}\n" for line in self.requirements)

    def conda(self) -> dict[str, Any]:
        """``conda.yaml``."""
        return {
            "channels": ["conda-forge"],
            "dependencies": [f"python={PYTHON}", "pip", {"pip": list(self.requirements)}],
            "name": "mlflow-env",
        }

    def virtualenv(self) -> dict[str, Any]:
        """``python_env.yaml``."""
        return {
            "python": PYTHON,
            "build_dependencies": ["pip", "setuptools", "wheel"],
            "dependencies": ["-r requirements.txt"],
        }


def _runtime(inference: InferenceConfig, reported: dict[str, str]) -> str:
    """The distribution of the preferred execution provider, or the one that the engine had in its place."""
    first = inference.execution_provider[0][0] if inference.execution_provider else ""
    fitting = _RUNTIMES.get(first, _ANY_RUNTIME)
    if fitting in reported:
        return fitting
    others = sorted(set(_RUNTIMES.values()) & reported.keys())
    return others[0] if len(others) == 1 and fitting == _ANY_RUNTIME else fitting


def _pinned(name: str, version: str | None) -> str:
    return f"{name}=={version}" if version else name


def _wants_numpy_1(runtime: str | None) -> bool:
    found = _MINOR.match(runtime or "")
    return found is not None and (int(found[1]), int(found[2])) <= _LAST_FOR_NUMPY_1
