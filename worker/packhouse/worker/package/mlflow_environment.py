"""What has to be installed for MLflow to open a candidate: the runtime that the engine measured it with.

Source of the forms of ``conda.yaml`` and ``python_env.yaml``: ``mlflow.utils.environment``, MLflow 3.17.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Self

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from packhouse.schemas.events import Engine
from packhouse.schemas.files import InferenceConfig
from packhouse.worker.package.mlflow_options import providers_of
from packhouse.worker.runtimes.table import ALSO_NEEDED, BUILDS

PYTHON: Final = "3.11"
"""What MLflow makes the environment with. The engine's own Python is not known, and the worker's is no matter."""

_ANY_PROVIDER: Final = "CPUExecutionProvider"
_ANY_MLFLOW: Final = "mlflow>=2.4"
"""The first that takes session options for ONNX models."""
_MLFLOW_OF_PROVIDERS: Final = "mlflow>=3.16"
"""Earlier ones pass over the execution providers of a model, and could not read their options."""


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
        first = inference.execution_provider[0][0] if inference.execution_provider else ""
        provider = first if first in BUILDS else _ANY_PROVIDER
        reported = _reported(engine)
        build = next((name for name in BUILDS[provider] if name in reported), BUILDS[provider][0])
        providers = providers_of(inference.execution_provider)
        lines = {
            _ANY_MLFLOW if providers == [_ANY_PROVIDER] else _MLFLOW_OF_PROVIDERS,
            _pinned("onnx", reported.get("onnx")),
            _pinned(build, reported.get(build)),
            *_needed_by(build, reported.get(build)),
        }
        return cls(tuple(sorted(lines)), reported.get("onnx") or None)

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


def _reported(engine: Engine) -> dict[str, str]:
    """Distribution to the version that the engine had; empty text where it told several, or what is no version."""
    found: dict[str, str] = {}
    for package in engine.runtime_packages:
        name = str(canonicalize_name(package.name))
        found[name] = package.version if found.get(name, package.version) == package.version else ""
    return {name: version if _is_version(version) else "" for name, version in found.items()}


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def _pinned(name: str, version: str | None) -> str:
    return f"{name}=={version}" if version else name


def _needed_by(build: str, version: str | None) -> Iterator[str]:
    """What a build of ONNX Runtime needs though its metadata does not say so."""
    if version:
        yield from (text for below, text in ALSO_NEEDED.get(build, ()) if Version(version) < Version(below))
