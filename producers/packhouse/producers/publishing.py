"""Publishing a finished run."""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Final

from pydantic_core import from_json
from redis import Redis
from redis.exceptions import RedisError

from packhouse.producers.connection import connect, server_errors
from packhouse.producers.large_events import to_wire
from packhouse.producers.tracing import tracing
from packhouse.schemas.base import Digest, uncollected
from packhouse.schemas.cloudevent import RunRef
from packhouse.schemas.events import MAX_EVENT_BYTES, RunFinished, content_digest_of
from packhouse.schemas.keys import DEFAULT_NAMESPACE, FIELD, Keys
from packhouse.schemas.paths import PathMap
from packhouse.schemas.signing import SIGNATURE_FIELD, SigningKey

DURABLE_SECONDS: Final = 5.0
"""How long ``publish`` waits for the server's disk by default."""


@dataclass(frozen=True)
class Receipt:
    """What the server said to an event."""

    run: RunRef
    event_id: str
    entry_id: str
    """Its place in the run queue. Every status of the run comes after it: a place to begin following from."""
    content_digest: Digest
    durable: bool
    """Whether the event is on the server's disk, so that it outlives a loss of power."""
    note: str | None = None
    """Why it is not known to be on disk."""


def publish(
    event: RunFinished,
    redis: Redis | str,
    *,
    namespace: str = DEFAULT_NAMESPACE,
    durable_timeout: float = DURABLE_SECONDS,
    signing_key: SigningKey | None = None,
    max_event_bytes: int = MAX_EVENT_BYTES,
    data_folder: str | os.PathLike[str] | None = None,
    data_mapping: PathMap | None = None,
) -> Receipt:
    """Put an event into the run queue, and wait up to ``durable_timeout`` seconds until it is on the server's disk.

    Where the engine traces with OpenTelemetry, publishing is a span, and what becomes of the run belongs to its trace.
    With a ``signing_key`` the event is signed, for workers that ask for that; it should have been made just now.

    An event of more than ``max_event_bytes``, which workers would reject, has its data put into a document in
    ``data_folder``, one that workers can read; ``data_mapping`` says where they find it, if no setting of theirs does.

    One XADD is the whole of it; any language with a Redis client can do the same::

        XADD {packhouse}:runs * event '{"specversion":"1.0","type":"packhouse.run.finished",…}'

    Raises ``TransientError`` (``connection_failed``) where the server does not answer: whether the event arrived is
    then not known, and publishing it again is safe. ``PermanentError`` (``configuration_invalid``) where it refuses,
    ``event_too_large`` where an event would have to have a ``data_folder``; and what writing there raises.
    """
    with tracing(event) as traced:
        wire = to_wire(traced, max_event_bytes, data_folder, data_mapping)
        return _publish(traced, wire, redis, Keys(namespace).run_queue, durable_timeout, signing_key)


def _publish(
    event: RunFinished,
    wire: bytes,
    redis: Redis | str,
    queue: str,
    durable_timeout: float,
    signing_key: SigningKey | None,
) -> Receipt:
    signed = {SIGNATURE_FIELD: signing_key.sign(wire, queue).encode()} if signing_key else {}
    client = connect(redis)
    with server_errors(redis), client if client is not redis else nullcontext():
        seconds = min(durable_timeout, _patience(client))
        # In one pipeline, for WAITAOF answers for the writes of its own connection alone: where the client connects
        # anew, it sends both again, and the second copy of the event is a duplicate that changes nothing.
        pipeline = client.pipeline(transaction=False)
        pipeline.xadd(queue, {FIELD: wire, **signed})
        if seconds > 0:
            pipeline.waitaof(1, 0, max(1, round(seconds * 1000)))
        entry, *answers = pipeline.execute(raise_on_error=False)
        if isinstance(entry, RedisError):
            raise entry
    note = _why_not_durable(answers[0], seconds) if answers else "not waited for"
    return Receipt(
        run=event.run,
        event_id=event.id,
        entry_id=entry.decode() if isinstance(entry, bytes) else str(entry),
        content_digest=_content_digest(wire),
        durable=note is None,
        note=note,
    )


def _content_digest(wire: bytes) -> Digest:
    with uncollected():
        return content_digest_of(from_json(wire))


def _why_not_durable(answer: object, seconds: float) -> str | None:
    """None where the append-only file holds what was written, else why that is not known."""
    if isinstance(answer, list) and answer:
        return None if answer[0] else f"the server's disk did not follow within {seconds:g} s"
    text = str(answer)
    if "unknown command" in text.lower():
        return "the server is too old to tell (WAITAOF came with Redis 7.2)"
    if "appendonly" in text.lower():
        return "the server keeps no append-only file"
    return f"the server could not tell: {text}"


def _patience(client: Redis) -> float:
    """Seconds that this client waits for an answer, with some to spare."""
    timeout = client.connection_pool.connection_kwargs.get("socket_timeout")
    return timeout * 0.8 if isinstance(timeout, int | float) else float("inf")
