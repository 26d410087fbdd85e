"""The ledger's calls, one for each script."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import Any, Final, Literal, NamedTuple, Protocol, cast

from redis import Redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import (
    BusyLoadingError,
    ConnectionError,  # noqa: A004 (redis-py's own name)
    NoScriptError,
    ReadOnlyError,
    ResponseError,
    TimeoutError,  # noqa: A004 (redis-py's own name)
)
from redis.retry import Retry

from packhouse.schemas.base import canonical_json
from packhouse.schemas.cloudevent import RunRef
from packhouse.schemas.errors import Problem
from packhouse.schemas.keys import Keys, run_key
from packhouse.schemas.status import PackageRef
from packhouse.worker.identity import Identity
from packhouse.worker.ledger.records import (
    Answer,
    Arrival,
    Cancelled,
    DeadLetter,
    Frozen,
    Held,
    Lease,
    LeaseLost,
    Motion,
    Opened,
    Reopened,
    Round,
    Swept,
    Wake,
)
from packhouse.worker.ledger.version import OLDEST, VERSION, LedgerVersionError
from packhouse.worker.settings import Settings

_SCRIPTS = files("packhouse.worker.ledger") / "scripts"
_PATIENCE = 240
"""Tries of a call while the server is away: with pauses of up to two seconds, about five minutes."""

_STANDING = Motion()

READERS: Final = 16
"""Workers that wait at the run queue at most. Each takes in hundreds of events a second."""

_LEAVES_WITHIN = 600
"""Seconds after which a worker that said it leaves has surely gone."""


class _Script(Protocol):
    sha: str

    def __call__(self, keys: list[str], args: list[Any]) -> Any: ...


@dataclass(frozen=True)
class PlannedJob:
    """A package that a ranked run asks for."""

    job: str
    queue: str
    package: str
    """JSON object with the package's type and name."""
    title: str


class Opening(NamedTuple):
    """A run that is to enter the ledger."""

    arrival: Arrival
    title: str
    entry: str = ""
    """Id of its entry in the run queue."""


def connect(url: str, *, patient: bool = True, decode: bool = True, timeout: float = 30.0) -> Redis:
    """A client. A patient one tries again while the server is away: what it does must bear being done twice.

    A server that has become a replica is away too: connecting anew may find its successor, or that it leads again.
    """
    retry = Retry(ExponentialWithJitterBackoff(base=0.05, cap=2.0), _PATIENCE if patient else 0)
    return Redis.from_url(
        url,
        decode_responses=decode,
        health_check_interval=25,
        socket_keepalive=True,
        socket_connect_timeout=5,
        socket_timeout=timeout,
        retry=retry,
        retry_on_error=[ConnectionError, TimeoutError, BusyLoadingError, ReadOnlyError] if patient else [],
    )


class Ledger:
    """Runs, their jobs, leases and results. Every change is one script, and may be asked for twice."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self.redis = redis
        self.keys = Keys(settings.namespace)
        self._lease_ms = int(settings.lease_seconds * 1000)
        self._settings = json.dumps(
            {
                "status_length": settings.status_length,
                "dead_letter_length": settings.dead_letter_length,
                "dead_letter_bytes": settings.dead_letter_bytes,
                "dead_letter_total_bytes": settings.dead_letter_total_bytes,
                "failed_event_bytes": settings.failed_event_bytes,
                "retention_seconds": max(1, int(settings.retention_days * 86400)),
                "crash_limit": settings.crash_limit,
                "loss_limit": settings.loss_limit,
                "version": VERSION,
                "oldest": OLDEST,
            }
        )
        self._given = settings
        self._scripts = {name: cast("_Script", redis.register_script(script)) for name, script in _assembled().items()}

    @cached_property
    def impatient(self) -> Ledger:
        """The same ledger by a client that does not wait for an absent server: for threads that watch the clock."""
        return Ledger(connect(self._given.redis_url, patient=False, timeout=5.0), self._given)

    def call(self, name: str, *arguments: object) -> Any:
        """Run a script; the settings go last. Raises ``LedgerVersionError`` before it changes anything."""
        try:
            return self._scripts[name](keys=[self.keys.prefix], args=[*arguments, self._settings])
        except ResponseError as error:
            raise LedgerVersionError.of(error) or error from None

    def _call_all(self, name: str, calls: Sequence[Sequence[object]]) -> list[Any]:
        """Run a script several times in one round trip; what a call ended with stands in the place of its answer."""
        if len(calls) > 1:
            script = self._scripts[name].sha
            pipeline = self.redis.pipeline(transaction=False)
            for arguments in calls:
                pipeline.evalsha(script, 1, self.keys.prefix, *cast("Sequence[str]", arguments), self._settings)
            answers: list[Any] = pipeline.execute(raise_on_error=False)
        else:
            answers = [NoScriptError()] * len(calls)
        for index, answer in enumerate(answers):
            if isinstance(answer, NoScriptError):
                try:
                    answers[index] = self.call(name, *calls[index])
                except (ResponseError, LedgerVersionError) as error:
                    answers[index] = error
            elif isinstance(answer, ResponseError):
                answers[index] = LedgerVersionError.of(answer) or answer
        return answers

    def check_version(self) -> None:
        """See that the ledger is of a version that this release knows. Raises ``LedgerVersionError``."""
        self.call("version")

    # The way of a run

    def open_all(self, openings: Sequence[Opening], *, queue: str, group: str) -> list[Opened | Exception]:
        """Put runs into the ledger, unless they are there, and in the same step take their entries from the run queue.

        In one round trip, and in their order; what the server refused is an error in its place. The entry of a run id
        that is ``reused`` stays.
        """
        calls = [
            (
                run_key(arrival.run), _names(arrival.run, arrival.traceparent), arrival.digest, arrival.event_id,
                arrival.text, queue, title, group, entry,
            )
            for arrival, title, entry in openings
        ]  # fmt: skip
        return [reply if isinstance(reply, Exception) else _opened(*reply) for reply in self._call_all("open", calls)]

    def lease(self, run: str, job: str, token: str, identity: Identity) -> Lease | None:
        """Take a job, or None where it is settled, taken or not due."""
        reply = self.call(
            "lease", run, job, token, self._lease_ms, identity.worker, json.dumps(identity.name), identity.place,
            identity.process,
        )  # fmt: skip
        if reply[0] != "leased":
            return None
        _, attempt, tries, elapsed, plan, names, digest, event, doomed = reply
        return Lease(
            run, job, token, int(attempt), int(tries), int(elapsed) / 1000, plan or None,
            names=json.loads(f"{{{names}}}"), digest=digest, event=event or self._event(run), doomed=doomed or None,
        )  # fmt: skip

    def renew(self, lease: Lease, motion: Motion = _STANDING, *, publishing: bool = False) -> bool:
        """Hold a lease for its full time from now; False where it is lost.

        ``publishing``: the package is about to be seen by others, so that it is too late to cancel this attempt.
        """
        silent_ms = int(motion.silent * 1000)
        return bool(
            self.call(
                "renew", lease.run, lease.job, lease.token, self._lease_ms, motion.stage, motion.done, motion.total,
                silent_ms, int(publishing),
            )
        )  # fmt: skip

    def _event(self, run: str) -> str:
        """A long event: copied once by the server, and not by a script as well. Empty where the run is over."""
        return cast("str | None", self.redis.hget(f"{self.keys.prefix}run:{run}", "event")) or ""

    def resolve(self, lease: Lease, event: str, sha256: str) -> str:
        """Keep the event of a run with the data that it referred to; the first that was kept stays, and is returned.

        Raises ``LeaseLost``.
        """
        kept = self.call("resolve", lease.run, lease.token, event, sha256)
        if kept is None:
            raise LeaseLost
        return cast("str", kept)

    def plan(
        self,
        lease: Lease,
        *,
        accepted: str,
        candidates: str,
        left_out: str,
        counts: str,
        state: str,
        jobs: Iterable[PlannedJob],
    ) -> list[Wake]:
        """The run is ranked. Raises ``LeaseLost``."""
        rows = json.dumps([[job.job, job.queue, job.package, job.title] for job in jobs])
        done, *rest = self.call("plan", lease.run, lease.token, accepted, candidates, left_out, counts, state, rows)
        if not done:
            raise LeaseLost
        return [Wake.of(reply) for reply in rest[0]]

    def reject(self, lease: Lease, *, rejected: str, reason: str) -> None:
        """The run's event is none. Raises ``LeaseLost``."""
        if not self.call("reject", lease.run, lease.token, rejected, reason):
            raise LeaseLost

    def freeze(self, lease: Lease, plan: str, destination: str) -> Frozen:
        """Fix a package's plan and claim its destination. Raises ``LeaseLost``."""
        outcome, *rest = self.call("freeze", lease.run, lease.job, lease.token, plan, destination)
        if outcome == "lost":
            raise LeaseLost
        return Frozen(plan=rest[0]) if outcome == "frozen" else Frozen(taken_by=_subject(rest[0]))

    def settle(self, lease: Lease, outcome: str, result: str) -> None:
        """Record how a package ended, once. Raises ``LeaseLost``."""
        if not self.call("settle", lease.run, lease.job, lease.token, outcome, result):
            raise LeaseLost

    def release(self, lease: Lease, seconds: float, why: Problem, *, counted: bool = True) -> None:
        """Let a job wait before it is tried again; ``counted`` as a try of its own. Raises ``LeaseLost``."""
        error = why.model_dump_json(exclude_none=True)
        if not self.call("release", lease.run, lease.job, lease.token, int(seconds * 1000), error, int(counted)):
            raise LeaseLost

    # What an operator may do

    def cancel(self, run: str) -> Cancelled:
        """End a run: what waits fails as ``cancelled`` at once, what is at work loses its lease."""
        outcome, *numbers = self.call("cancel", run)
        return Cancelled(outcome, *numbers)

    def reopen(self, run: str, names: Iterable[str] = ()) -> Reopened:
        """Let failed packages of a run be made again: those of these names, or all."""
        outcome, *rest = self.call("reopen", run, json.dumps(list(names)))
        if outcome == "none":
            return Reopened(outcome, name=rest[0])
        if outcome != "reopened":
            return Reopened(outcome)
        return Reopened(outcome, int(rest[0]), tuple(PackageRef.model_validate(one) for one in json.loads(rest[1])))

    # The run queue

    def bury(self, letter: DeadLetter, group: str, answer: Answer | None) -> None:
        """Take something that is no event out of the run queue and its consumer group, into the dead letters."""
        reason = f"{letter.problem.code}: {letter.problem.message}"
        reply = (answer.id, _names(answer.run), answer.data) if answer else ("", "", "")
        self.call("bury", letter.entry, group, reason, letter.length, letter.digest, letter.head, *reply)

    # Recovery

    def round(self, identity: Identity, *, alive: float, sweep: float, queues: Iterable[str] = ()) -> Round:
        """Say that a worker lives and takes jobs of these queues, for so many seconds.

        Once in ``sweep`` seconds one worker of all is to sweep. So many as ``READERS`` are to wait at the run queue.
        """
        sweeps, held, waits = self.call(
            "round", identity.worker, identity.name, int(alive * 1000), identity.place, int(sweep * 1000),
            " ".join(queues), READERS,
        )  # fmt: skip
        return Round(bool(sweeps), tuple(Held(*each) for each in held), bool(waits))

    def sweep(self, queues: Sequence[str], *, expired: bool) -> Swept:
        """Bring back what is due: delayed jobs, jobs of expired leases if asked, and jobs whose wake-up was lost."""
        due, lost = self.call("sweep", "1" if expired else "0", " ".join(queues))
        return Swept([Wake.of(reply) for reply in due], [Wake.of(reply) for reply in lost])

    def forget_readers(self, group: str, seconds: float) -> int:
        """Forget readers of the run queue that have nothing in hand and gave no sign for so long. Returns how many."""
        return int(self.call("readers", group, int(seconds * 1000)))

    def lose(self, held: Held, kind: str) -> list[Wake]:
        """End a lease whose holder is gone (``crash``, ``loss``) or gives it back (``handback``)."""
        return [Wake.of(reply) for reply in self.call("lose", held.run, held.job, held.token, kind)]

    def held_at(self, place: str) -> list[Held]:
        """The leases of the processes of one place."""
        return [Held(*each) for each in self.call("held", place)]

    def leave(self, identity: Identity) -> None:
        """Say that a worker is about to end, and its processes with it."""
        self.redis.set(f"{self.keys.prefix}leaving:{identity.worker}", identity.name, ex=_LEAVES_WITHIN)

    def sign_off(self, identity: Identity) -> None:
        """Say that a worker is gone."""
        self.redis.delete(f"{self.keys.prefix}worker:{identity.worker}")


@cache
def _assembled() -> Mapping[str, str]:
    """Every script by its name, as the server gets it."""
    common = (_SCRIPTS / "common.lua").read_text("utf-8")
    return {
        entry.name.removesuffix(".lua"): _assemble(common, entry.read_text("utf-8"))
        for entry in _SCRIPTS.iterdir()
        if entry.name.endswith(".lua") and entry.name != "common.lua"
    }


def _assemble(common: str, script: str) -> str:
    """The shared part goes before a script, and after its first line where that gives the script's flags."""
    if script.startswith("#!"):
        flags, _, body = script.partition("\n")
        return f"{flags}\n{common}\n{body}"
    return f"{common}\n{script}"


def _names(run: RunRef, traceparent: str | None = None) -> str:
    """What all events of a run have in common."""
    names = {"source": run.source, "subject": run.id} | ({"traceparent": traceparent} if traceparent else {})
    return canonical_json(names).decode("utf-8", "replace")[1:-1]


def _opened(outcome: Literal["opened", "duplicate", "reused"], *rest: Any) -> Opened:
    if outcome == "opened":
        return Opened("opened", wake=Wake.of(rest[0]))
    return Opened(outcome, digest=rest[0] if rest else None)


def _subject(names: str) -> str:
    return str(json.loads(f"{{{names}}}").get("subject", "")) if names else ""
