"""What the two tasks do, without Celery: rank a run, make a package."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import random
import time
import traceback
import uuid
from collections.abc import Generator

from pydantic import TypeAdapter, ValidationError
from redis.exceptions import RedisError

from packhouse.schemas.errors import (
    ErrorCode,
    PackhouseError,
    PermanentError,
    Problem,
    TransientError,
    describe,
    explain,
    invalid,
    problem_of,
)
from packhouse.schemas.events import RunFinished
from packhouse.schemas.packaging import PackagingConfig
from packhouse.schemas.ranking import LeftOut, RankedCandidate
from packhouse.schemas.status import Accepted, PackageRef, PackageResult, PackageState, Rejected, RunState
from packhouse.schemas.text import visible
from packhouse.worker.context import Context
from packhouse.worker.intake.envelope import read_head
from packhouse.worker.intake.reference import reference_in, resolve
from packhouse.worker.keeper import LeaseKeeper
from packhouse.worker.ledger import RANK_JOB, Lease, LeaseLost, Notebook, PlannedJob
from packhouse.worker.logs import about
from packhouse.worker.metrics.recorder import recorder
from packhouse.worker.package.scrub import json_without_secrets
from packhouse.worker.packagers.base import PackageJob, Poured
from packhouse.worker.packagers.registry import packager_of, queue_of
from packhouse.worker.ranking import Order, order_of, rank
from packhouse.worker.storage.blob.failures import scrub
from packhouse.worker.tracing import TRACEPARENT, Span, tracer

log = logging.getLogger(__name__)

_CANDIDATES = TypeAdapter[list[RankedCandidate]](list[RankedCandidate])
_LEFT_OUT = TypeAdapter[list[LeftOut]](list[LeftOut])
_PROBLEMS_TOLD = 100


class JobFailed(Exception):
    """A job has been settled as failed, or its run as rejected: raised so that its task shows as failed too."""

    def __init__(self, problem: Problem) -> None:
        # Celery pickles it, and sends its repr about.
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return visible(describe(self.problem))

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {self}"


def run_finished(context: Context, run_key: str) -> str:
    """Validate and rank a run and start its packages. Returns what came of it, for the log.

    Raises ``JobFailed`` after a run has been rejected.
    """
    lease = _lease(context, run_key, RANK_JOB)
    if lease is None:
        return "nothing to do"
    with _told(context, lease, "rank") as span, _given_back(context, lease):
        try:
            return _rank(context, lease, span)
        except LeaseLost:
            span.failed("lease_lost")
            return "the lease was lost"


def _rank(context: Context, lease: Lease, span: Span) -> str:
    raw = lease.event
    try:
        raw = _with_its_data(context, lease)
        event = RunFinished.read(raw)
    except ValidationError as error:
        span.failed("rejected")
        problem, problems = _problems(error)
    except PackhouseError as error:
        pause = _pause(context, lease, error) if isinstance(error, TransientError) else None
        span.failed(error.code)
        if pause is not None:
            context.ledger.release(lease, pause, error.problem)
            recorder().retry(RANK_JOB, error.code)
            return f"will be tried again in {pause:.1f} s: {error}"
        problem, problems = error.problem, [error.problem]
    else:
        return _planned(context, lease, event, span)
    _reject(context, lease, raw, problem, problems)
    raise JobFailed(problem)


def _planned(context: Context, lease: Lease, event: RunFinished, span: Span) -> str:
    with LeaseKeeper(context.ledger, lease, context.settings, event.run, None, span) as keeper:
        keeper.stage("ranking")
        order = order_of(event.data)
    span.set(candidates=len(order))
    jobs = _jobs(event, order)
    ranking = order.beginning()
    state = RunState.SUCCEEDED if not event.data.packaging_config else RunState.NOTHING_TO_PACKAGE
    accepted = Accepted(
        content_digest=lease.digest,
        packages=[PackageRef(type=config.type, name=config.name) for config in event.data.packaging_config],
        ranking=ranking,
    )
    wakes = context.ledger.plan(
        lease,
        accepted=json_without_secrets(accepted.model_dump_json(exclude_none=True)),
        candidates=json_without_secrets(_CANDIDATES.dump_json(ranking.candidates, exclude_none=True).decode()),
        left_out=json_without_secrets(_LEFT_OUT.dump_json(ranking.left_out, exclude_none=True).decode()),
        counts=order.counts().model_dump_json(),
        state=state,
        jobs=jobs,
    )
    context.wake(wakes)
    return f"candidates: {len(order)}, packages: {len(jobs)}"


def package(context: Context, run_key: str, job_id: str) -> str:
    """Make one package of a run and record how it ended. Returns what came of it, for the log.

    Raises ``JobFailed`` after a package has been settled as failed.
    """
    started = time.monotonic()
    lease = _lease(context, run_key, job_id)
    if lease is None:
        return "nothing to do"
    with _told(context, lease, "package") as span, _given_back(context, lease):
        return _package(context, lease, span, started)


def _package(context: Context, lease: Lease, span: Span, started: float) -> str:
    event = RunFinished.read(lease.event)
    config = event.data.packaging_config[int(lease.job)]
    span.set(type=str(config.type), name=config.name)
    poured, problem = Poured(), None
    try:
        try:
            poured = _make(context, lease, event, config, span)
        except TransientError as error:
            pause = _pause(context, lease, error)
            span.failed(error.code)
            if pause is not None:
                context.ledger.release(lease, pause, error.problem)
                recorder().retry(config.type, error.code)
                return f"will be tried again in {pause:.1f} s: {error}"
            problem = error.problem
        except RedisError:
            raise  # no fault of the package's
        except PermanentError as error:
            problem = error.problem
        except Exception as error:  # noqa: BLE001 (a defect must not hold up the run)
            # The texts of libraries can hold addresses with signatures.
            told = scrub(traceback.format_exc())
            log.error("Unforeseen error while packaging %s of %s\n%s", config.title, event.run, told)  # noqa: TRY400
            problem = problem_of(error)
        # So can the names of what a package is made of.
        problem = problem and problem.model_copy(update={"message": scrub(problem.message)})
        seconds = round(lease.elapsed + time.monotonic() - started, 3)
        result = _result(config, poured, problem, lease, worker=context.identity.name, seconds=seconds)
        context.ledger.settle(lease, result.state, json_without_secrets(result.model_dump_json(exclude_none=True)))
        recorder().package(config.type, result.state, seconds)
    except LeaseLost:
        span.failed("lease_lost")
        return "the lease was lost"
    if problem:
        span.failed(problem.code)
        raise JobFailed(problem)
    return f"{poured.path or ''} {poured.digest or ''}".strip()


@contextlib.contextmanager
def _given_back(context: Context, lease: Lease) -> Generator[None, None, None]:
    """The ledger is patient with an absent server. One that refuses is the operator's to mend: the work waits.

    That is no try of the job's, and before the server takes leases again none is begun.
    """
    try:
        yield
    except RedisError as error:
        with contextlib.suppress(RedisError, LeaseLost):
            pause = context.settings.retry_seconds
            context.ledger.release(lease, pause, problem_of(_refused(error)), counted=False)
        raise


@contextlib.contextmanager
def _told(context: Context, lease: Lease, name: str) -> Generator[Span, None, None]:
    """Logs and spans within are about this job."""
    of_run = lease.names
    names = {"run": of_run["subject"], "source": of_run["source"], "job": lease.job, "attempt": lease.attempt}
    parent = of_run.get(TRACEPARENT)
    span_of = tracer(context.settings.traces).span(name, parent, worker=context.identity.name, **names)
    with span_of as span, about(**names, trace_id=span.trace_id):
        yield span


def _result(
    config: PackagingConfig, poured: Poured, problem: Problem | None, lease: Lease, *, worker: str, seconds: float
) -> PackageResult:
    return PackageResult(
        type=config.type,
        name=config.name,
        state=PackageState.FAILED if problem else PackageState.SUCCEEDED,
        path=poured.path,
        bytes=poured.bytes,
        files=poured.files,
        digest=poured.digest,
        models=list(poured.models),
        replaced=poured.replaced,
        assets=list(poured.assets),
        checks=list(poured.checks),
        warnings=list(poured.warnings),
        error=problem,
        attempts=lease.attempt,
        worker=worker,
        seconds=seconds,
    )


def _lease(context: Context, run_key: str, job: str) -> Lease | None:
    return context.ledger.lease(run_key, job, uuid.uuid4().hex[:12], context.identity.here())


def _jobs(event: RunFinished, order: Order) -> list[PlannedJob]:
    """One job per packaging config; none where there is nothing to package."""
    if not len(order):
        return []
    accelerators = ", ".join(order.accelerators())
    return [
        PlannedJob(
            job=str(index),
            queue=queue_of(config.type),
            package=PackageRef(type=config.type, name=config.name).model_dump_json(),
            title=f"{config.title} of run {event.subject[:80]}: {len(order)} models for {accelerators}",
        )
        for index, config in enumerate(event.data.packaging_config)
    ]


def _with_its_data(context: Context, lease: Lease) -> str:
    """The event with the document that it refers to, as the first attempt to read that found it."""
    raw = lease.event
    reference = reference_in(raw)
    if reference is None:
        return raw
    settings = context.settings
    with LeaseKeeper(context.ledger, lease, settings, reference.run, None):
        resolved = resolve(raw, reference, context.storage, settings.path_map, settings.max_dataref_bytes)
        return context.ledger.resolve(lease, resolved.text, resolved.sha256)


def _problems(error: ValidationError) -> tuple[Problem, list[Problem]]:
    """What is wrong with an event: in one sentence, and each thing by itself."""
    complaints = explain(error)
    fix = "Correct the field and publish again; the run id may stay."
    problem = invalid(ErrorCode.EVENT_INVALID, "The event is not valid", complaints, fix=fix).problem
    problems = [
        Problem(code=ErrorCode.EVENT_INVALID, message=sentence, fix=fix, field=field or None)
        for field, sentence in complaints[:_PROBLEMS_TOLD]
    ]
    return problem, problems


def _reject(context: Context, lease: Lease, raw: str, problem: Problem, problems: list[Problem]) -> None:
    rejected = Rejected(
        content_digest=lease.digest,
        event_id=read_head(raw.encode()).id,
        error=problem,
        problems=problems,
    )
    told = json_without_secrets(rejected.model_dump_json(exclude_none=True))
    context.ledger.reject(lease, rejected=told, reason=scrub(problem.message))


def _make(context: Context, lease: Lease, event: RunFinished, config: PackagingConfig, span: Span) -> Poured:
    reference = PackageRef(type=config.type, name=config.name)
    with (
        about(package=f"{config.type} {config.name}"),
        LeaseKeeper(context.ledger, lease, context.settings, event.run, reference, span) as keeper,
    ):
        packager = packager_of(config.type)
        job = PackageJob(
            run=event.run,
            event=event.data,
            config=config,
            ranking=rank(event.data),
            storage=context.storage.of(event.data),
            mapping=context.settings.path_map,
            token=lease.token,
            tag=f"{lease.run[:12]}-{lease.job}",
            progress=keeper,
            notebook=Notebook(context.ledger, context.settings, lease),
            azure=context.azure,
            settings=context.settings,
            runtimes=context.runtimes,
            digests=context.digests,
        )
        plan_json = lease.plan
        if plan_json is not None and lease.doomed is not None:
            keeper.stage("clearing up")
            with contextlib.suppress(PackhouseError):
                packager.discard(job, packager.plan_type.model_validate_json(plan_json))
            keeper.confirm()
            problem = Problem.model_validate_json(lease.doomed)
            raise PermanentError(ErrorCode(problem.code), problem.message, fix=problem.fix)
        if plan_json is None:
            keeper.stage("planning")
            plan = packager.plan(job)
            destination = hashlib.sha256(plan.destination.encode("utf-8", "surrogateescape")).hexdigest()
            frozen = context.ledger.freeze(lease, plan.model_dump_json(), destination)
            if frozen.plan is None:
                raise PermanentError(
                    ErrorCode.DESTINATION_TAKEN,
                    f"Run {frozen.taken_by!r} is writing to the same destination at this moment.",
                    fix="Give the package another name or output_dir, or publish again when that run is complete.",
                )
            plan_json = frozen.plan
        return packager.pour(job, packager.plan_type.model_validate_json(plan_json))


def _refused(error: RedisError) -> TransientError:
    return TransientError(
        ErrorCode.CONNECTION_FAILED,
        f"The server refused what packaging wrote to it: {error}",
        fix="See the server's memory and state with packhouse doctor; it is tried again by itself.",
    )


def _pause(context: Context, lease: Lease, error: TransientError) -> float | None:
    """Seconds to wait before the next attempt; None where there shall be none. Raises a lost lease again.

    Whoever asked to be left alone for longer is.
    """
    if isinstance(error, LeaseLost):
        raise error
    settings = context.settings
    if lease.tries + 1 >= settings.retry_limit:
        return None
    pause = min(settings.retry_seconds_max, settings.retry_seconds * 2**lease.tries)
    pause = max(pause * random.uniform(0.5, 1), error.retry_after or 0)  # noqa: S311 (jitter, not a secret)
    log.warning("Job %s:%s will be tried again in %.1f s: %s", lease.run, lease.job, pause, error)
    return pause


__all__ = ["JobFailed", "package", "run_finished"]
