"""What the ledger hands out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Self

from packhouse.schemas.cloudevent import RunRef
from packhouse.schemas.errors import ErrorCode, Problem, TransientError
from packhouse.schemas.status import PackageRef

RANK_JOB: Final = "rank"
"""Id of the job that ranks a run; packages are jobs ``0``, ``1``, … in the order of the packaging config."""


@dataclass(frozen=True)
class Wake:
    """A wake-up call to send: a Celery message that says which job's turn it is."""

    run: str
    """Key of the run."""
    job: str
    queue: str
    number: str
    """Place in the line; a job that joins again gets a new one."""
    title: str
    """What a person reads in Flower."""

    @classmethod
    def of(cls, reply: list[str]) -> Self:
        """From a script's reply."""
        return cls(*reply)


@dataclass(frozen=True)
class Arrival:
    """An event whose envelope is sound. Its data has not been looked at."""

    run: RunRef
    event_id: str
    digest: str
    """Content digest."""
    text: str
    """The event as it came."""
    traceparent: str | None = None
    """The trace that the run belongs to, as W3C Trace Context has it."""


@dataclass(frozen=True)
class DeadLetter:
    """Something that came by the run queue and is no event."""

    entry: str
    """Id of the stream entry."""
    problem: Problem
    length: int
    digest: str
    head: bytes
    """The whole of it, or the first part where it is long."""


@dataclass(frozen=True)
class Answer:
    """A rejected event for a sender whose run could be read."""

    id: str
    run: RunRef
    data: str
    """JSON of ``Rejected``."""


@dataclass(frozen=True)
class Opened:
    """What became of an event."""

    outcome: Literal["opened", "duplicate", "reused"]
    wake: Wake | None = None
    digest: str | None = None
    """Of the content that has the run id, where it is ``reused``."""


@dataclass(frozen=True)
class Lease:
    """The right to work on a job, until it runs out."""

    run: str
    job: str
    token: str
    attempt: int
    """From 1; every start counts."""
    tries: int
    """How often the job ended in a transient error before."""
    elapsed: float
    """Seconds since the first start of the job, when this lease was taken."""
    plan: str | None
    """The frozen plan as JSON, where an earlier attempt made one."""
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    """``source`` and ``subject`` of the run, and its ``traceparent`` where it belongs to a trace."""
    digest: str = ""
    """Content digest of the run."""
    event: str = ""
    """The run's event as it came."""
    doomed: str | None = None
    """Why the job has failed for good, as JSON of a ``Problem``: what is left is to clear away and to say so."""


@dataclass(frozen=True)
class Motion:
    """How far the work on a job is."""

    stage: str = ""
    done: int = 0
    """Bytes of the stage."""
    total: int = 0
    silent: float = 0.0
    """Seconds since the work last moved."""


@dataclass(frozen=True)
class Cancelled:
    """What came of cancelling a run."""

    outcome: Literal["cancelled", "over", "unknown"]
    ended: int = 0
    """Jobs that end by it."""
    publishing: int = 0
    """Packages for which it came too late: they are being published at this moment."""


@dataclass(frozen=True)
class Reopened:
    """What came of asking for a run's failed packages once more."""

    outcome: Literal["reopened", "unknown", "open", "rejected", "succeeded", "gone", "none"]
    round: int = 0
    packages: tuple[PackageRef, ...] = ()
    """Those that are made again; none where the run had not come to its packages."""
    name: str = ""
    """The name that no failed package has."""


@dataclass(frozen=True)
class Frozen:
    """The answer to a plan: the plan that holds, or the run that has the destination."""

    plan: str | None = None
    taken_by: str | None = None


@dataclass(frozen=True)
class Held:
    """A lease as others see it."""

    run: str
    job: str
    token: str
    worker: str
    process: str


@dataclass(frozen=True)
class Round:
    """What a worker learns when it says that it lives."""

    sweeps: bool
    """Whether it is this worker that sweeps now."""
    held: tuple[Held, ...]
    """The leases of its place."""
    waits: bool
    """Whether it is one of the workers that wait at the run queue."""


@dataclass(frozen=True)
class Swept:
    """The wake-ups to send after a sweep."""

    due: list[Wake]
    lost: list[Wake]
    """Those that had been sent, and did not arrive."""


class LeaseLost(TransientError):
    """The job is somebody else's now: stop, leave no trace, report nothing."""

    def __init__(self) -> None:
        super().__init__(
            ErrorCode.LEASE_LOST,
            "The lease of this job ran out and another process has the job.",
            fix="Nothing: the other process finishes it.",
        )
