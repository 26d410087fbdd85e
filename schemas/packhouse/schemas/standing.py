"""Where a run stands that is not over: what ``packhouse status --json`` prints of it."""

from __future__ import annotations

from enum import StrEnum

from pydantic import AwareDatetime

from packhouse.schemas.base import Document
from packhouse.schemas.cloudevent import RunRef
from packhouse.schemas.errors import Problem
from packhouse.schemas.status import PackageRef


class JobState(StrEnum):
    """What a job does that is not settled."""

    WAITING = "waiting"
    """For a worker of its queue."""
    LEASED = "leased"
    """A worker is at it."""
    DELAYED = "delayed"
    """An attempt failed for what may pass; there will be another."""


class JobStanding(Document):
    """A job that is not settled. What the reader may not know, or what has no meaning in this state, is left out."""

    package: PackageRef | None = None
    """The package to be made; none for the ranking."""
    state: JobState
    seconds: float | None = None
    """In this state."""
    stalled: str | None = None
    """Why nothing will become of it, or seems to, unless somebody acts; none for what is merely slow."""
    queue: str | None = None
    workers: int | None = None
    """How many take jobs of the queue."""
    place: int | None = None
    """In the line of the queue, from 1."""
    line: int | None = None
    """How many wait in it."""
    worker: str | None = None
    attempt: int | None = None
    stage: str | None = None
    bytes_done: int | None = None
    bytes_total: int | None = None
    silent_seconds: float | None = None
    """Since the work last moved."""
    publishing: bool = False
    """Whether it is too late to cancel this attempt."""
    due_seconds: float | None = None
    """Until the next attempt."""
    error: Problem | None = None
    """Of the last attempt."""


class RunStanding(Document):
    """A run that is not over."""

    run: RunRef
    round: int = 1
    accepted_at: AwareDatetime | None = None
    packages_done: int = 0
    jobs: list[JobStanding] = []
    complete: bool = True
    """False where the reader may not read the ledger: then this is what the run's events tell."""

    @property
    def stalled(self) -> bool:
        """Whether anything of it is."""
        return any(job.stalled for job in self.jobs)
