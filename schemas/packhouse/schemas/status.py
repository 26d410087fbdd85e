"""What Packhouse says back: status events, CloudEvents 1.0 with the run's source and id as source and subject.

The ``id`` of a status event is derived from the run and from what happened, so that a reader can drop a second copy.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AwareDatetime, Field, TypeAdapter

from packhouse.schemas.base import Digest, Document
from packhouse.schemas.checks import ModelCheck
from packhouse.schemas.cloudevent import CloudEvent
from packhouse.schemas.errors import Problem
from packhouse.schemas.packaging import PackagingType
from packhouse.schemas.ranking import Ranked, Ranking


class PackageState(StrEnum):
    """How a package ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"


class RunState(StrEnum):
    """How a run ended."""

    SUCCEEDED = "succeeded"
    PARTLY_SUCCEEDED = "partly_succeeded"
    FAILED = "failed"
    NOTHING_TO_PACKAGE = "nothing_to_package"


class PackageRef(Document):
    """Which package of a run is meant."""

    type: PackagingType
    name: str


class Replaced(Document):
    """The file that a package took the place of."""

    bytes: int
    digest: Digest | None = None
    """Its package digest, where it was a package of ours."""


class Asset(Document):
    """An asset registered with Azure Machine Learning."""

    name: str
    version: str
    uri: str
    """``azureml:<name>:<version>``."""
    id: str | None = None
    """ARM id."""
    datastore_path: str | None = None
    """``azureml://datastores/<datastore>/paths/<path>`` of the asset's folder."""
    digest: Digest | None = None
    """Of the paths, sizes and digests of every file in the folder."""
    already_registered: bool = False
    """Whether this very content was registered under this name and version before this package."""


class PackageResult(PackageRef):
    """How one package ended, and what came of it."""

    state: PackageState
    path: str | None = None
    """Where the package lies, in the view that the event's paths came in."""
    bytes: int | None = None
    files: int | None = None
    digest: Digest | None = None
    """Digest of the package's manifest, and so of every file in it: equal digests mean equal packages."""
    models: list[str] = []
    """Folders of the candidates inside the package, best first."""
    replaced: Replaced | None = None
    assets: list[Asset] = []
    checks: list[ModelCheck] = []
    """What came of trying each candidate, best first."""
    warnings: list[str] = []
    error: Problem | None = None
    attempts: int = 1
    worker: str | None = None
    seconds: float | None = None
    """From the first start of the round to the end, attempts and pauses between them included."""


class Accepted(Document):
    """The event was understood and its candidates ranked; packages are being made."""

    content_digest: Digest
    packages: list[PackageRef]
    ranking: Ranking


class PackageStarted(Document):
    """A worker has begun a package, or has begun it again."""

    package: PackageRef
    attempt: int
    worker: str


class PackageDelayed(Document):
    """An attempt ended in an error that may pass by itself; there will be another."""

    package: PackageRef
    attempt: int
    """The one that failed."""
    seconds: float
    """Until the next."""
    error: Problem


class Reopened(Document):
    """After its final event, failed packages of the run are made again. There will be another final event."""

    round: int
    """2 for the first time."""
    packages: list[PackageRef]
    """Those that are made again; none where the run is to be ranked first."""


class PackageProgress(Document):
    """How far a package is. These events have a stream of their own."""

    package: PackageRef
    stage: str
    bytes_done: int
    bytes_total: int
    attempt: int | None = None


class Rejected(Document):
    """The event could not be understood; nothing was packaged."""

    content_digest: Digest | None = None
    event_id: str | None = None
    error: Problem
    problems: list[Problem] = []
    """Every complaint about the event, the first of them being ``error``."""


class Timings(Document):
    """When a run passed its stations."""

    accepted_at: AwareDatetime
    reopened_at: AwareDatetime | None = None
    """When the run's failed packages were asked for again, in a later round."""
    completed_at: AwareDatetime
    seconds: float
    """From the beginning of the round to its end."""


class Completed(Ranked):
    """The final outcome of a run, one for each round."""

    content_digest: Digest
    state: RunState
    packages: list[PackageResult] = []
    warnings: list[str] = []
    error: Problem | None = None
    """Why the run failed as a whole, before it came to its packages."""
    timings: Timings
    round: int = 1
    """Above 1 where failed packages were made again: this event then takes the place of the round's before."""


class AcceptedEvent(CloudEvent):
    """``packhouse.packaging.accepted``."""

    type: Literal["packhouse.packaging.accepted"] = "packhouse.packaging.accepted"
    data: Accepted


class RejectedEvent(CloudEvent):
    """``packhouse.packaging.rejected``: final."""

    type: Literal["packhouse.packaging.rejected"] = "packhouse.packaging.rejected"
    data: Rejected


class ReopenedEvent(CloudEvent):
    """``packhouse.packaging.reopened``: the final event before it no longer is final."""

    type: Literal["packhouse.packaging.reopened"] = "packhouse.packaging.reopened"
    data: Reopened


class PackageDelayedEvent(CloudEvent):
    """``packhouse.package.delayed``."""

    type: Literal["packhouse.package.delayed"] = "packhouse.package.delayed"
    data: PackageDelayed


class PackageStartedEvent(CloudEvent):
    """``packhouse.package.started``."""

    type: Literal["packhouse.package.started"] = "packhouse.package.started"
    data: PackageStarted


class PackageProgressEvent(CloudEvent):
    """``packhouse.package.progress``, on the progress stream."""

    type: Literal["packhouse.package.progress"] = "packhouse.package.progress"
    data: PackageProgress


class PackageSucceededEvent(CloudEvent):
    """``packhouse.package.succeeded``."""

    type: Literal["packhouse.package.succeeded"] = "packhouse.package.succeeded"
    data: PackageResult


class PackageFailedEvent(CloudEvent):
    """``packhouse.package.failed``."""

    type: Literal["packhouse.package.failed"] = "packhouse.package.failed"
    data: PackageResult


class CompletedEvent(CloudEvent):
    """``packhouse.packaging.completed``: final."""

    type: Literal["packhouse.packaging.completed"] = "packhouse.packaging.completed"
    data: Completed


FinalEvent: TypeAlias = RejectedEvent | CompletedEvent

StatusEvent: TypeAlias = Annotated[
    AcceptedEvent
    | RejectedEvent
    | ReopenedEvent
    | PackageStartedEvent
    | PackageDelayedEvent
    | PackageProgressEvent
    | PackageSucceededEvent
    | PackageFailedEvent
    | CompletedEvent,
    Field(discriminator="type"),
]

STATUS_EVENT: Final = TypeAdapter[StatusEvent](StatusEvent)
"""Reads any status event."""
