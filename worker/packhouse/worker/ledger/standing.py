"""Where a run stands, read from the ledger: telling what is stalled from what is slow."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

from redis import Redis

from packhouse.schemas.cloudevent import RunRef
from packhouse.schemas.errors import Problem
from packhouse.schemas.keys import run_key
from packhouse.schemas.standing import JobStanding, JobState, RunStanding
from packhouse.schemas.status import PackageRef
from packhouse.worker.ledger.ledger import Ledger
from packhouse.worker.settings import Settings

_OVERDUE: Final = 30.0
"""Seconds after which recovery should long have acted."""


def look(redis: Redis, namespace: str, run: RunRef, stalled_after: float) -> RunStanding | None:
    """Where an open run stands; None where the ledger does not know it, or it is over.

    Work that has not moved for ``stalled_after`` seconds counts as stalled. The client answers in text or bytes. Raises
    ``RedisError``, among them ``NoPermissionError`` for a user who may not read the ledger.
    """
    reply = Ledger(redis, Settings(namespace=namespace)).call("look", run_key(run))
    told: dict[str, Any] = json.loads(reply) if reply else {}
    if told.get("state") != "open":
        return None
    return RunStanding(
        run=run,
        round=told["round"],
        accepted_at=datetime.fromtimestamp(told["opened"] / 1000, UTC),
        packages_done=told["settled"],
        jobs=[_job(job, told["now"], stalled_after) for job in told.get("jobs", [])],
    )


def _job(job: dict[str, Any], now: int, stalled_after: float) -> JobStanding:
    def ago(name: str) -> float | None:
        return None if name not in job else round((now - float(job[name])) / 1000, 3)

    state = JobState(job["state"])
    leased, delayed = state is JobState.LEASED, state is JobState.DELAYED
    due = ago("due") if delayed else None
    silent = ago("moved") if leased else None
    standing = JobStanding(
        package=None if job["job"] == "rank" else PackageRef.model_validate_json(job["package"]),
        state=state,
        seconds=ago("since"),
        queue=job["queue"],
        workers=job["takers"],
        place=job["place"] + 1 if state is JobState.WAITING and job.get("place") is not False else None,
        line=job["line"],
        worker=json.loads(job["by"]) if leased and "by" in job else None,
        attempt=int(job["attempts"]) or None,
        stage=job.get("stage") or None,
        bytes_done=int(job["done"]) if leased and "done" in job else None,
        bytes_total=int(job["total"]) or None if leased and "total" in job else None,
        silent_seconds=max(0.0, silent) if silent is not None else None,
        publishing=leased and job.get("publishing") == job.get("token"),
        due_seconds=-due if due is not None else None,
        error=Problem.model_validate_json(job["error"]) if "error" in job else None,
    )
    return standing.model_copy(update={"stalled": _why(standing, job, ago("expires"), stalled_after)})


def _why(job: JobStanding, record: dict[str, Any], expired: float | None, stalled_after: float) -> str | None:
    """Why a job is stalled, or None."""
    if job.state is JobState.LEASED:
        if expired is not None and expired > (_OVERDUE if record["worker_lives"] or job.workers else 0):
            return f"its lease ran out {expired:.0f} s ago, and no worker has brought it back"
        if job.silent_seconds is not None and job.silent_seconds > stalled_after:
            return (
                f"it has not moved for {job.silent_seconds:.0f} s; its worker lets it go after PACKHOUSE_STAGE_SECONDS"
            )
        return None
    if not job.workers:
        return f"no worker takes jobs of the queue {job.queue}"
    if job.state is JobState.DELAYED:
        late = -(job.due_seconds or 0)
        return f"it was due {late:.0f} s ago, and no worker has woken it" if late > _OVERDUE else None
    if job.place == 1 and not record["at_work"] and (job.seconds or 0) > stalled_after:
        return f"workers take jobs of the queue {job.queue}, but none has taken this for {job.seconds:.0f} s"
    return None
