"""What an engine sends: ``RunFinished``."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    Field,
    StringConstraints,
    field_validator,
)
from pydantic_core import from_json

from packhouse.schemas.base import (
    AbsolutePath,
    Digest,
    Directory,
    Document,
    Text,
    canonical_json,
    content_digest,
    uncollected,
)
from packhouse.schemas.cloudevent import CloudEvent
from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.footprint import Footprint
from packhouse.schemas.packaging import PackagingConfigs

RUN_FINISHED: Final = "packhouse.run.finished"
RUN_FINISHED_SCHEMA: Final = "urn:packhouse:run-finished:1"
MAX_EVENT_BYTES: Final = 16 * 2**20
"""What workers read at most, unless they are set otherwise. A larger event has its data in a document of its own."""


class Package(Document):
    """A Python distribution and its version, such as ``onnxruntime`` 1.18.1."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    version: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+!_-]{0,63}$")]


class Engine(Document):
    """What made the models."""

    name: Text
    version: Text | None = None
    runtime_packages: list[Package] = []
    """The runtimes that the models were measured with."""
    directories: list[Directory] = []
    """Directories of the engine's machine. They are kept out of everything that is put into a package."""


class AzureMLWorkspace(Document):
    """An Azure Machine Learning workspace. The worker's settings say which ones an event may name."""

    subscription_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}$")]
    resource_group: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.()-]{1,90}$")]
    workspace_name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,254}$")]

    @classmethod
    def parse(cls, text: str) -> Self:
        """The workspace of ``subscription/resource_group/workspace``. Raises ``ValueError``."""
        parts = text.strip().split("/")
        if len(parts) != len(cls.model_fields):
            raise ValueError(f"{text[:200]!r} is not subscription/resource_group/workspace")
        return cls.model_validate(dict(zip(cls.model_fields, parts, strict=True)))

    def __str__(self) -> str:
        return f"{self.subscription_id}/{self.resource_group}/{self.workspace_name}"


class FinishedRun(Document):
    """The data of a ``RunFinished`` event."""

    engine: Engine
    paths: Literal["engine", "worker"] = "engine"
    """Whose view the paths of this event are: the worker maps the engine's and takes its own as they are."""
    output_dir: AbsolutePath
    """Where packages that are files are put."""
    packaging_config: PackagingConfigs = []
    footprints: list[Footprint] = Field(default=[], max_length=64)
    """One for each accelerator, in the engine's order."""
    top: Annotated[int, Field(strict=True, ge=1)] | None = None
    """Package at most so many candidates of each accelerator."""
    azureml: AzureMLWorkspace | None = None
    """Where assets are registered, and whose datastores ``azureml://`` paths name; none means the worker's own."""

    @field_validator("footprints")
    @classmethod
    def _one_for_each_accelerator(cls, footprints: list[Footprint]) -> list[Footprint]:
        seen: set[str] = set()
        for footprint in footprints:
            if str(footprint.accelerator) in seen:
                raise ValueError(f"accelerator {footprint.accelerator} has two footprints; join their nodes into one")
            seen.add(str(footprint.accelerator))
        return footprints

    @field_validator("footprints")
    @classmethod
    def _agreed_objectives(cls, footprints: list[Footprint]) -> list[Footprint]:
        known: dict[str, tuple[int, bool, str]] = {}
        for footprint in footprints:
            for node in footprint.nodes:
                for name, metric in node.measured.items():
                    priority, higher, first = known.setdefault(
                        name, (metric.priority, metric.higher_is_better, node.model_id)
                    )
                    if (priority, higher) != (metric.priority, metric.higher_is_better):
                        raise ValueError(
                            f"metric {name!r} has another priority or direction in model {node.model_id!r} "
                            f"than in model {first!r}: candidates cannot be compared by it"
                        )
        return footprints


class RunFinished(CloudEvent):
    """An optimization run has finished and its models wait to be packaged."""

    type: Literal["packhouse.run.finished"] = RUN_FINISHED
    dataschema: Literal["urn:packhouse:run-finished:1"] = RUN_FINISHED_SCHEMA
    data: FinishedRun

    @classmethod
    def of(cls, data: FinishedRun, *, source: str, run_id: str) -> Self:
        """A new event, with an id and a time of its own."""
        return cls(id=str(uuid.uuid4()), source=source, subject=run_id, time=datetime.now(UTC), data=data)

    @classmethod
    def read(cls, text: str | bytes) -> Self:
        """The event of a text. Raises ``ValidationError``."""
        with uncollected():
            return cls.model_validate_json(text)

    def to_wire(self) -> bytes:
        """The event as it goes into the run queue: canonical JSON, what is not set left out.

        Raises ``PermanentError`` (``event_invalid``) for what JSON cannot say, and for what no reader would take.
        """
        try:
            with uncollected():
                return canonical_json(from_json(self.model_dump_json(exclude_none=True)))
        except ValueError as error:
            raise PermanentError(
                ErrorCode.EVENT_INVALID,
                f"The event cannot be written as JSON: {error}.",
                fix="Keep to texts that are Unicode, and to objects and lists that are nested less than 200 deep.",
            ) from None

    @property
    def content_digest(self) -> Digest:
        """Digest of what the event says, whatever its id and time: equal for two events of the same content."""
        with uncollected():
            return content_digest_of(from_json(self.to_wire()))


class RunFinishedByReference(CloudEvent):
    """An optimization run has finished, and its data lies in a JSON document of its own: for runs of many nodes.

    Source of the attribute: the CloudEvents extension Dataref.
    """

    type: Literal["packhouse.run.finished"] = RUN_FINISHED
    dataschema: Literal["urn:packhouse:run-finished:1"] = RUN_FINISHED_SCHEMA
    dataref: AbsolutePath
    """Where the document lies: a path as the engine knows it, or the address of a blob."""
    datarefsha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None
    """SHA-256 of the document, in hexadecimal."""


def content_digest_of(event: dict[str, Any]) -> Digest:
    """The content digest of a ``RunFinished`` as it lies on the wire, parsed but not validated.

    Of an event without data it is the digest of the reference, not of the document.
    """
    content = {"data": event.get("data"), "dataschema": event.get("dataschema", RUN_FINISHED_SCHEMA)}
    if event.get("data") is None and "dataref" in event:
        content |= {name: event.get(name) for name in ("dataref", "datarefsha256")}
    return content_digest(content)
