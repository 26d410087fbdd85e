"""Taking events out of the run queue, a few at a time, each exactly once into the ledger."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, Final, NamedTuple, cast

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from packhouse.schemas.base import uncollected
from packhouse.schemas.errors import ErrorCode, PackhouseError, PermanentError
from packhouse.schemas.keys import FIELD
from packhouse.schemas.signing import SIGNATURE_FIELD
from packhouse.schemas.status import Rejected
from packhouse.worker.context import Context
from packhouse.worker.faultpoints import reach
from packhouse.worker.intake.envelope import Head, digest_of_bytes, read_envelope, read_head
from packhouse.worker.intake.signatures import SignatureError, Signatures
from packhouse.worker.ledger import Answer, Arrival, DeadLetter, Opened, Opening
from packhouse.worker.logs import about
from packhouse.worker.metrics.recorder import recorder
from packhouse.worker.packagers.registry import RANKING_QUEUE
from packhouse.worker.tracing import Span, tracer

log = logging.getLogger(__name__)

GROUP: Final = "packhouse"
_BATCH: Final = 8
_ABANDONED_MS: Final = 10_000
"""An entry that a reader took and left for so long is taken over by another."""

_Entry = tuple[bytes, Mapping[bytes, bytes] | None]


class _Arrived(NamedTuple):
    """An entry of the run queue whose envelope is sound."""

    entry: str
    raw: bytes
    arrival: Arrival


class RunQueueReader:
    """One reader of the consumer group. ``redis`` is a client that answers in bytes."""

    def __init__(self, redis: Redis, context: Context) -> None:
        self._redis = redis
        self._context = context
        self._stream = context.ledger.keys.run_queue
        self._consumer = context.identity.worker
        self._tracer = tracer(context.settings.traces)
        self._signatures = Signatures(context.settings, self._stream)

    def join(self) -> None:
        """Make stream and group where they are missing."""
        try:
            self._redis.xgroup_create(self._stream, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def read(self, block_ms: int) -> int:
        """Bring new entries into the ledger; wait so long for the first. Returns how many there were."""
        reply = cast(
            "Any", self._redis.xreadgroup(GROUP, self._consumer, {self._stream: ">"}, count=_BATCH, block=block_ms)
        )
        entries: list[_Entry] = _entries(reply)
        self._take_in(entries)
        return len(entries)

    def resume(self) -> int:
        """Bring in what this reader took and left when the server failed it. Returns how many there were."""
        reply = cast("Any", self._redis.xreadgroup(GROUP, self._consumer, {self._stream: "0"}, count=_BATCH))
        entries: list[_Entry] = _entries(reply)
        self._take_in(entries)
        return len(entries)

    def take_over(self) -> int:
        """Bring in what other readers took and left. Returns how many there were."""
        reply = cast(
            "Any",
            self._redis.xautoclaim(self._stream, GROUP, self._consumer, min_idle_time=_ABANDONED_MS, count=_BATCH),
        )
        entries: list[_Entry] = reply[1]
        self._take_in(entries)
        return len(entries)

    def leave(self) -> None:
        """Forget this reader, unless it has entries in hand: another takes those over."""
        for consumer in self._redis.xinfo_consumers(self._stream, GROUP):
            if consumer["name"] == self._consumer.encode() and consumer["pending"] == 0:
                self._redis.xgroup_delconsumer(self._stream, GROUP, self._consumer)

    def _take_in(self, entries: Iterable[_Entry]) -> None:
        """All that are sound are opened in one round trip, and woken in another."""
        arrived: list[_Arrived] = []
        for entry, fields in entries:
            reach("intake.read")
            with self._left_for_later(entry):
                found = self._read_one(entry.decode(), fields or {})
                if found is not None:
                    arrived.append(found)
        if arrived:
            self._open(arrived)

    @contextlib.contextmanager
    def _left_for_later(self, entry: bytes | str) -> Generator[None, None, None]:
        """A defect leaves the entry pending: it is tried again with what is taken over. Others need not wait for it."""
        try:
            yield
        except RedisError:
            raise
        except Exception:
            name = entry.decode() if isinstance(entry, bytes) else entry
            log.exception("Unforeseen error with entry %s of the run queue", name)

    def _read_one(self, entry: str, fields: Mapping[bytes, bytes]) -> _Arrived | None:
        raw = fields.get(FIELD.encode())
        if raw is None:
            self._bury(entry, b"", Head(), _no_event())
            return None
        try:
            self._signatures.check(entry, raw, fields.get(SIGNATURE_FIELD.encode()))
            with uncollected():
                return _Arrived(entry, raw, read_envelope(raw, self._context.settings.max_event_bytes))
        except SignatureError as error:
            self._bury(entry, raw, Head(), error)
        except PackhouseError as error:
            self._bury(entry, raw, read_head(raw), error)
        return None

    def _open(self, arrived: Sequence[_Arrived]) -> None:
        with contextlib.ExitStack() as spans:
            traced = [(each, spans.enter_context(self._span(each.arrival))) for each in arrived]
            openings = [
                Opening(
                    replace(each.arrival, traceparent=span.traceparent or each.arrival.traceparent),
                    f"run {each.arrival.run.id[:80]} of {each.arrival.run.source[:80]}",
                    each.entry,
                )
                for each, span in traced
            ]
            outcomes = self._context.ledger.open_all(openings, queue=RANKING_QUEUE, group=GROUP)
            reach("intake.opened")
            self._context.wake([one.wake for one in outcomes if isinstance(one, Opened) and one.wake])
            reach("intake.woken")
            refused: list[Exception] = []
            for (each, span), outcome in zip(traced, outcomes, strict=True):
                if isinstance(outcome, Exception):
                    refused.append(outcome)
                    continue
                run = each.arrival.run
                with self._left_for_later(each.entry), about(run=run.id, source=run.source, trace_id=span.trace_id):
                    self._tell(each, outcome, span)
            if refused:
                raise refused[0]

    def _span(self, arrival: Arrival) -> AbstractContextManager[Span]:
        return self._tracer.span("intake", arrival.traceparent, run=arrival.run.id, source=arrival.run.source)

    def _tell(self, arrived: _Arrived, opened: Opened, span: Span) -> None:
        run = arrived.arrival.run
        recorder().event(opened.outcome)
        if opened.outcome == "reused":
            span.failed(ErrorCode.RUN_ID_REUSED)
            error = PermanentError(
                ErrorCode.RUN_ID_REUSED,
                f"Another run of {run.source} already has the id {run.id!r}, with other content ({opened.digest}).",
                fix="Give every run an id of its own; `packhouse publish --again` makes a new one.",
                field="subject",
            )
            self._bury(arrived.entry, arrived.raw, read_head(arrived.raw), error)
        elif opened.wake:
            log.info("Run %s is in the ledger", run)
        else:
            log.info("Run %s came again with the same content: nothing to do", run)

    def _bury(self, entry: str, raw: bytes, head: Head, error: PackhouseError) -> None:
        log.warning("Entry %s of the run queue is rejected: %s", entry, error.message)
        if error.code is not ErrorCode.RUN_ID_REUSED:
            recorder().event("invalid")
        digest = digest_of_bytes(raw)
        letter = DeadLetter(
            entry=entry,
            problem=error.problem,
            length=len(raw),
            digest=digest,
            head=raw[: self._context.settings.dead_letter_bytes],
        )
        rejected = Rejected(event_id=head.id, error=error.problem, problems=[error.problem])
        answer = None
        if head.run:
            # The same bytes twice give the same id: a reader drops the second answer.
            name = f"{digest.removeprefix('sha256:')[:32]}/rejected"
            answer = Answer(name, head.run, rejected.model_dump_json(exclude_none=True))
        self._context.ledger.bury(letter, GROUP, answer)


def _entries(reply: Any) -> list[_Entry]:
    """The entries of the one stream that was read, from redis-py's answer in either protocol version."""
    if not reply:
        return []
    if isinstance(reply, dict):
        (batches,) = cast("dict[bytes, Any]", reply).values()
        return [entry for batch in batches for entry in batch] if batches and isinstance(batches[0], list) else batches
    return reply[0][1]


def _no_event() -> PermanentError:
    return PermanentError(
        ErrorCode.EVENT_INVALID,
        f"The entry has no field {FIELD!r}.",
        fix=f"Put the CloudEvent as JSON into one field called {FIELD!r}.",
        field=FIELD,
    )
