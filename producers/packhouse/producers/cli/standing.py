"""Where an open run stands: by the ledger where that may be read, else by the events of the run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

from redis import Redis
from redis.exceptions import NoPermissionError, ResponseError

from packhouse.producers.cli.say import say
from packhouse.producers.connection import server_errors
from packhouse.schemas.cloudevent import RunRef
from packhouse.schemas.standing import JobStanding, JobState, RunStanding
from packhouse.schemas.status import (
    AcceptedEvent,
    PackageDelayedEvent,
    PackageFailedEvent,
    PackageProgressEvent,
    PackageRef,
    PackageStartedEvent,
    PackageSucceededEvent,
    ReopenedEvent,
)

if TYPE_CHECKING:
    from packhouse.producers.streams import AnyStatus

LOOK: Final = "packhouse.standing"
"""Entry point of what reads the ledger: client, namespace, run, seconds to a standing or None."""

_Look = Callable[[Redis, str, RunRef, float], RunStanding | None]
_Timed = tuple[float, "AnyStatus"]


def ledger_standing(redis: Redis, namespace: str, run: RunRef, stalled_after: float) -> tuple[RunStanding | None, str]:
    """Where a run stands by the ledger, and why that cannot be told, if it cannot. Raises as ``server_errors`` does."""
    look = _find_look()
    if look is None:
        return None, "packhouse[worker] is not installed here, so that the ledger cannot be read"
    try:
        with server_errors(redis):
            try:
                return look(redis, namespace, run, stalled_after), ""
            except ResponseError as error:
                if isinstance(error, NoPermissionError) or "ACL failure" in str(error) or "NOPERM" in str(error):
                    return None, "this user may not read the ledger"
                raise
    except ImportError:
        return None, "packhouse[worker] is not installed here, so that the ledger cannot be read"


def events_standing(run: RunRef, events: Sequence[_Timed], stalled_after: float) -> RunStanding:
    """Where a run stands by its events and those of its progress, each with its time in seconds since 1970."""
    now = time.time()
    jobs: dict[PackageRef, JobStanding | None] = {}
    round_ = 1
    for at, event in sorted(events, key=lambda item: item[0]):
        seconds = max(0.0, round(now - at, 3))
        if isinstance(event, AcceptedEvent | ReopenedEvent):
            round_ = event.data.round if isinstance(event, ReopenedEvent) else round_
            jobs.update(dict.fromkeys(event.data.packages))
            for package in event.data.packages:
                jobs[package] = JobStanding(package=package, state=JobState.WAITING, seconds=seconds)
        elif isinstance(event, PackageStartedEvent | PackageDelayedEvent | PackageProgressEvent):
            package = event.data.package
            if jobs.get(package) is not None or not isinstance(event, PackageProgressEvent):
                jobs[package] = _after(event, jobs.get(package), now - at)
        elif isinstance(event, PackageSucceededEvent | PackageFailedEvent):
            jobs[PackageRef(type=event.data.type, name=event.data.name)] = None
    open_jobs = [_judged(job, stalled_after) for job in jobs.values() if job is not None]
    return RunStanding(run=run, round=round_, packages_done=len(jobs) - len(open_jobs), jobs=open_jobs, complete=False)


def _after(
    event: PackageStartedEvent | PackageDelayedEvent | PackageProgressEvent, job: JobStanding | None, ago: float
) -> JobStanding:
    seconds = max(0.0, round(ago, 3))
    data = event.data
    if isinstance(event, PackageStartedEvent):
        return JobStanding(
            package=data.package, state=JobState.LEASED, seconds=seconds, silent_seconds=seconds,
            worker=event.data.worker, attempt=event.data.attempt,
        )  # fmt: skip
    if isinstance(event, PackageDelayedEvent):
        return JobStanding(
            package=data.package, state=JobState.DELAYED, seconds=seconds, attempt=event.data.attempt,
            due_seconds=round(event.data.seconds - ago, 3), error=event.data.error,
        )  # fmt: skip
    if job is None or job.state is not JobState.LEASED:
        return JobStanding(package=data.package, state=JobState.LEASED, stage=event.data.stage, silent_seconds=seconds)
    done: dict[str, Any] = {"stage": event.data.stage, "bytes_done": event.data.bytes_done, "silent_seconds": seconds}
    return job.model_copy(update=done | {"bytes_total": event.data.bytes_total or None})


def _judged(job: JobStanding, stalled_after: float) -> JobStanding:
    """By events one sees that nothing moves, not why."""
    still = job.silent_seconds if job.state is JobState.LEASED else None
    if still is not None and still > stalled_after:
        return job.model_copy(update={"stalled": f"nothing has been heard of it for {_time(still)}"})
    return job


def show_standing(standing: RunStanding) -> None:
    """A line for each job that is not done."""
    for job in standing.jobs:
        say(f"  {_title(job)}: {_line(job)}")


def _title(job: JobStanding) -> str:
    return f"{job.package.type} {job.package.name}" if job.package else "ranking"


def _line(job: JobStanding) -> str:
    parts = [_doing(job)]
    if job.state is JobState.DELAYED and job.error:
        parts.append(f"after [{job.error.code}] {job.error.message}")
    if job.stalled:
        parts.insert(0, f"STALLED, {job.stalled}")
    return "; ".join(parts)


def _doing(job: JobStanding) -> str:
    since = f" for {_time(job.seconds)}" if job.seconds is not None else ""
    if job.state is JobState.WAITING:
        place = f", number {job.place} of {job.line} in the queue {job.queue}" if job.place else ""
        workers = f", served by {_counted(job.workers, 'worker')}" if place and job.workers else ""
        return f"waiting{since}{place}{workers}"
    if job.state is JobState.DELAYED:
        due = job.due_seconds or 0
        return f"will be tried again {f'in {_time(due)}' if due > 0 else 'at once'}"
    by = f" on {job.worker}" if job.worker else ""
    attempt = f", attempt {job.attempt}" if (job.attempt or 1) > 1 else ""
    stage = f", {job.stage}{_bytes(job)}" if job.stage else ""
    moved = f", moved {_time(job.silent_seconds)} ago" if job.silent_seconds is not None else ""
    return f"at work{since}{by}{attempt}{stage}{moved}"


def _bytes(job: JobStanding) -> str:
    from packhouse.producers.cli.render import size

    if not job.bytes_total:
        return ""
    return f" {size(job.bytes_done or 0)} of {size(job.bytes_total)}"


def _counted(count: int | None, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _time(seconds: float) -> str:
    minute, hour, day = 60, 3600, 86400
    if seconds < 2 * minute:
        return f"{seconds:.0f} s"
    if seconds < 2 * hour:
        return f"{seconds / minute:.0f} min"
    return f"{seconds / hour:.0f} h" if seconds < 2 * day else f"{seconds / day:.0f} d"


def _find_look() -> _Look | None:
    for entry in metadata.entry_points(group=LOOK, name="default"):
        try:
            return entry.load()
        except ImportError:
            return None
    return None
