"""JSON Schema (draft 2020-12) of every document of the contract."""

from __future__ import annotations

from typing import Any, Final

from pydantic import TypeAdapter

from packhouse.schemas.events import RunFinished, RunFinishedByReference
from packhouse.schemas.files import (
    Configurations,
    InferenceConfig,
    Manifest,
    MetricsFile,
    ModelInfo,
    ModelsRank,
    RuntimeLock,
)
from packhouse.schemas.packaging import PACKAGING_CONFIGS
from packhouse.schemas.ranking import Ranking
from packhouse.schemas.standing import RunStanding
from packhouse.schemas.status import (
    STATUS_EVENT,
    AcceptedEvent,
    CompletedEvent,
    PackageDelayedEvent,
    PackageFailedEvent,
    PackageProgressEvent,
    PackageStartedEvent,
    PackageSucceededEvent,
    RejectedEvent,
    ReopenedEvent,
)
from packhouse.schemas.verification import VerifyReport

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

DOCUMENTS: Final[dict[str, TypeAdapter[Any]]] = {
    # What an engine sends
    "run-finished": TypeAdapter(RunFinished),
    "run-finished-by-reference": TypeAdapter(RunFinishedByReference),
    "packaging-config": PACKAGING_CONFIGS,
    # What Packhouse says back
    "status-event": STATUS_EVENT,
    "packaging-accepted": TypeAdapter(AcceptedEvent),
    "packaging-rejected": TypeAdapter(RejectedEvent),
    "packaging-completed": TypeAdapter(CompletedEvent),
    "packaging-reopened": TypeAdapter(ReopenedEvent),
    "package-started": TypeAdapter(PackageStartedEvent),
    "package-delayed": TypeAdapter(PackageDelayedEvent),
    "package-progress": TypeAdapter(PackageProgressEvent),
    "package-succeeded": TypeAdapter(PackageSucceededEvent),
    "package-failed": TypeAdapter(PackageFailedEvent),
    "ranking": TypeAdapter(Ranking),
    # What lies in a package
    "models-rank": TypeAdapter(ModelsRank),
    "configurations": TypeAdapter(Configurations),
    "inference-config": TypeAdapter(InferenceConfig),
    "metrics": TypeAdapter(MetricsFile),
    "model-info": TypeAdapter(ModelInfo),
    "manifest": TypeAdapter(Manifest),
    "runtime-lock": TypeAdapter(RuntimeLock),
    # What packhouse status --json prints of a run that is not over
    "run-standing": TypeAdapter(RunStanding),
    # What packhouse verify --json prints
    "verify-report": TypeAdapter(VerifyReport),
}
"""Name to reader of every document."""


def json_schemas() -> dict[str, dict[str, Any]]:
    """Name to JSON Schema. A field with a default may be left out, as it is on the wire."""
    return {
        name: {
            "$schema": DIALECT,
            "$id": f"urn:packhouse:schema:{name}:1",
            **adapter.json_schema(mode="validation", by_alias=True),
        }
        for name, adapter in DOCUMENTS.items()
    }
