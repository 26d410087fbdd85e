"""The JSON files inside a package.

``models_rank.json``, ``configurations.json``, ``inference_config.json`` and ``metrics.json`` have the form that Olive's
packaging documentation gives them; ``model_info.json`` and ``manifest.json`` are ours.
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import ConfigDict, Field, JsonValue, RootModel

from packhouse.schemas.accelerator import Accelerator
from packhouse.schemas.base import Digest, Document
from packhouse.schemas.checks import ModelCheck
from packhouse.schemas.cloudevent import RunRef
from packhouse.schemas.events import Package
from packhouse.schemas.footprint import Metrics, ModelConfig
from packhouse.schemas.ranking import LeftOut

MODELS_RANK: Final = "models_rank.json"
MANIFEST: Final = "manifest.json"
CONFIGURATIONS: Final = "configurations.json"
INFERENCE_CONFIG: Final = "inference_config.json"
METRICS: Final = "metrics.json"
MODEL_INFO: Final = "model_info.json"
CANDIDATES: Final = "CandidateModels"
ONNX_MODEL: Final = "model.onnx"
RUNTIME_PACKAGES: Final = "ONNXRuntimePackages"
RUNTIME_LOCK: Final = "packages.lock.json"


class _File(Document):
    model_config = ConfigDict(protected_namespaces=(), populate_by_name=True, serialize_by_alias=True)


class RankEntry(_File):
    """One line of ``models_rank.json``. ``model_path`` in the config is relative to the root of the package."""

    rank: int
    """Place across all accelerators."""
    model: ModelConfig = Field(validation_alias="model_config", serialization_alias="model_config")
    metrics: Metrics | None


class ModelsRank(RootModel[list[RankEntry]]):
    """``models_rank.json``: the candidates of all accelerators, best first."""


class Configurations(RootModel[dict[str, dict[str, JsonValue] | None]]):
    """``configurations.json``: model id to the config of the pass that made it, from the input model (null) on."""


class InferenceConfig(_File):
    """``inference_config.json``: with what to open the session. ONNX models only."""

    execution_provider: list[tuple[str, dict[str, JsonValue]]]
    """Pairs of execution provider and its options, the preferred first."""
    session_options: dict[str, JsonValue]


class MetricsFile(_File):
    """``metrics.json``: the candidate beside the model that the run began with; null where not measured."""

    input_model_metrics: Metrics | None
    candidate_model_metrics: Metrics | None


class PassStep(Document):
    """A step of a candidate's lineage."""

    model_id: str
    from_pass: str | None


class ModelInfo(_File):
    """``model_info.json``: which model this is, and why it stands where it stands."""

    rank: int
    rank_in_accelerator: int
    accelerator: Accelerator
    model_id: str
    reason: str
    goals_met: bool | None
    lineage: list[PassStep]
    """From the input model to this one."""
    model: ModelConfig = Field(validation_alias="model_config", serialization_alias="model_config")
    """As in ``models_rank.json``."""
    metrics: Metrics | None
    files: list[str]
    """The model's files, relative to the folder of this one."""


class ManifestFile(Document):
    """A file of the package."""

    path: str
    size: int
    sha256: str


class ManifestEngine(Document):
    """What made the models."""

    name: str
    version: str | None
    runtime_packages: list[Package]


class Unavailable(Document):
    """Something that belongs into the package and could not be had."""

    what: str
    reason: str


class LockedTarget(Document):
    """A platform and Python version that a wheel is packed for."""

    platform: str
    """As in the worker's settings, such as ``linux_x86_64``."""
    python: str
    """Such as ``3.11``."""


class LockedFile(Document):
    """A runtime package in the folder ``ONNXRuntimePackages``."""

    kind: Literal["python", "nuget"]
    name: str
    """Of the distribution or NuGet package."""
    version: str
    file: str
    """Path below ``ONNXRuntimePackages``."""
    size: int
    sha256: str
    dependency: bool
    """Whether it is there because another of the files needs it."""
    targets: list[LockedTarget]
    """What a wheel is for; empty for a NuGet package."""
    execution_providers: list[str]
    """Whose candidates it is for."""


class RuntimeLock(Document):
    """``packages.lock.json``: every runtime package of the folder, by file."""

    format: int = 1
    files: list[LockedFile]
    unavailable: list[Unavailable]


class Manifest(Document):
    """``manifest.json``: every file of the package but itself, and where they come from."""

    format: int = 2
    """1 had neither checks nor a report."""
    packhouse: str
    """Version of Packhouse that wrote the package."""
    run: RunRef
    engine: ManifestEngine
    name: str
    """Name in the packaging config."""
    files: list[ManifestFile]
    left_out: list[LeftOut]
    checks: list[ModelCheck] = []
    """What came of trying each candidate before it was packaged, best first."""
    unavailable: list[Unavailable]

    def digest_of_files(self) -> dict[str, Digest]:
        """Path to ``sha256:…`` for every file."""
        return {file.path: f"sha256:{file.sha256}" for file in self.files}
