"""Following what becomes of runs."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, Self

from redis import Redis

from packhouse.producers.connection import PASSING, connect, server_errors, shown
from packhouse.producers.group import StatusGroup
from packhouse.producers.streams import AnyStatus, Seen, is_about, is_ours, read_event, read_final, round_of, text
from packhouse.schemas.cloudevent import RunRef
from packhouse.schemas.errors import ErrorCode, TransientError
from packhouse.schemas.keys import DEFAULT_NAMESPACE, FIELD, Keys
from packhouse.schemas.status import CompletedEvent, FinalEvent, RejectedEvent

_BLOCK_SECONDS: Final = 1.0
_PAUSE_SECONDS: Final = 0.5
_COUNT: Final = 500
_START: Final = "0-0"


class StatusFeed:
    """The status queue as its readers see it. Entries that this version does not understand are passed over.

    A server that goes away for a while is waited for; the feed goes on where it was.
    """

    def __init__(self, redis: Redis | str, namespace: str = DEFAULT_NAMESPACE) -> None:
        """``redis`` is an address, or a client, which then stays its owner's to close."""
        self._redis = connect(redis)
        self._owned = self._redis is not redis
        self._keys = Keys(namespace)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, if this feed made them."""
        if self._owned:
            self._redis.close()

    def follow(
        self,
        run: RunRef | None = None,
        *,
        after: str = "$",
        progress: bool = False,
        timeout: float | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[tuple[str, AnyStatus]]:
        """Entry ids and events as they come, second copies dropped.

        ``after`` is ``$`` (from now on, that is from this call), ``0`` (from the oldest there is) or the id of an
        entry, to go on after it. With ``progress`` the events of the progress stream come as well; their entry ids
        are as good to go on from. Ends after ``timeout`` seconds, or soon after ``stop`` says so.

        Raises ``TransientError`` (``connection_failed``) where the server cannot be reached to begin with.
        """
        streams = [self._keys.status, self._keys.progress] if progress else [self._keys.status]
        with server_errors(self._redis):
            cursors = {stream: self._cursor(stream, after) for stream in streams}
        deadline = None if timeout is None else time.monotonic() + timeout
        return self._follow(run, cursors, deadline, stop=stop)

    def final(self, run: RunRef) -> FinalEvent | None:
        """The final event of a run that has ended, while its record is kept; None while it is made again.

        Raises as ``follow`` does.
        """
        with server_errors(self._redis):
            value: Any = self._redis.get(self._keys.final(run))
        return read_final(value)

    def wait(
        self,
        run: RunRef,
        timeout: float | None = None,
        *,
        content_digest: str | None = None,
        event_id: str | None = None,
        after: str | None = None,
    ) -> FinalEvent:
        """The final event of a run's latest round, waited for. The arguments are those of ``watch``.

        Raises ``TransientError`` (``timed_out``) after ``timeout`` seconds.
        """
        for event in self.watch(run, timeout, content_digest=content_digest, event_id=event_id, after=after):
            if isinstance(event, CompletedEvent | RejectedEvent):
                return event
        raise AssertionError("watch ends with a final event or raises")

    def watch(
        self,
        run: RunRef,
        timeout: float | None = None,
        *,
        content_digest: str | None = None,
        event_id: str | None = None,
        after: str | None = None,
        progress: bool = False,
    ) -> Iterator[AnyStatus]:
        """The events of a run as they come, up to and with its final one.

        ``content_digest`` and ``event_id`` are those of the event that was published: where its run id stands for
        another content already, the answer is not that run's final event but the rejection of this event.
        ``after`` is the entry id of the receipt; without it the stream is read from its beginning.

        Raises ``TransientError`` (``timed_out``) after ``timeout`` seconds, whatever became of the server meanwhile.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        streams = [self._keys.status, self._keys.progress] if progress else [self._keys.status]
        start = _START if after is None else f"{after.partition('-')[0]}-0"
        looked: FinalEvent | None = None
        if after is None:
            looked = self._look(run, content_digest, event_id)

        def ended() -> bool:
            # The final event may have left the stream, or the server lost the stream's end: the key has it too.
            nonlocal looked
            looked = self._look(run, content_digest, event_id)
            return looked is not None

        followed = () if looked else self._follow(run, dict.fromkeys(streams, start), deadline, idle=ended)
        for _, event in followed:
            is_final = isinstance(event, CompletedEvent | RejectedEvent)
            if is_final and (not is_ours(event, content_digest, event_id) or self._is_over(run, event)):
                continue
            yield event
            if is_final:
                return
        if looked is None:
            raise TransientError(
                ErrorCode.TIMED_OUT,
                f"Run {run} has no final status after {timeout:g} s.",
                fix=f"See packhouse status, and that a worker is connected to {shown(self._redis)}; then wait again.",
            )
        yield looked

    def group(self, name: str, consumer: str, **options: Any) -> StatusGroup:
        """A consumer group's reader of this feed: see ``StatusGroup``."""
        return StatusGroup(self._redis, self._keys, name, consumer, **options)

    def recent(self, count: int) -> list[tuple[str, AnyStatus]]:
        """The latest entries of the status stream, at most so many, oldest first. Raises as ``follow`` does."""
        with server_errors(self._redis):
            entries: Any = self._redis.xrevrange(self._keys.status, count=count)
        events = [(text(entry), read_event(fields)) for entry, fields in reversed(entries)]
        seen = Seen(count + 1)
        return [(entry, event) for entry, event in events if event is not None and not seen.is_copy(event, entry)]

    def progress_of(self, run: RunRef, count: int = 2000) -> list[tuple[str, AnyStatus]]:
        """The events of a run among the latest so many of the progress stream, oldest first.

        Raises as ``follow`` does.
        """
        with server_errors(self._redis):
            entries: Any = self._redis.xrevrange(self._keys.progress, count=count)
        events = [(text(entry), read_event(fields)) for entry, fields in reversed(entries)]
        return [(entry, event) for entry, event in events if event is not None and is_about(event, run)]

    @property
    def redis(self) -> Redis:
        """The client."""
        return self._redis

    def _look(self, run: RunRef, content_digest: str | None, event_id: str | None) -> FinalEvent | None:
        try:
            value: Any = self._redis.get(self._keys.final(run))
        except PASSING:
            return None
        final = read_final(value)
        return final if final and is_ours(final, content_digest, event_id) else None

    def _is_over(self, run: RunRef, final: FinalEvent) -> bool:
        """Whether a final event of the stream has given way to a later round of its run."""
        if not isinstance(final, CompletedEvent):
            return False
        try:
            value: Any = self._redis.get(self._keys.final(run))
        except PASSING:
            return False
        return round_of(read_event({FIELD: value}) if value else None) > round_of(final)

    def _cursor(self, stream: str, after: str) -> str:
        if after != "$":
            return after
        latest: Any = self._redis.xrevrange(stream, count=1)
        return text(latest[0][0]) if latest else _START

    def _follow(
        self,
        run: RunRef | None,
        cursors: dict[str, str],
        deadline: float | None,
        *,
        stop: Callable[[], bool] = lambda: False,
        idle: Callable[[], bool] = lambda: False,
    ) -> Iterator[tuple[str, AnyStatus]]:
        """``stop`` is asked after every batch, ``idle`` where nothing came; each may end it."""
        seen = Seen()
        # At first what there is, without waiting for more: the answer may be there, in the stream or in the key.
        patience = 0.0
        while True:
            entries = self._read(cursors, patience if deadline is None else min(patience, deadline - time.monotonic()))
            patience = _BLOCK_SECONDS
            for stream, entry, fields in entries:
                cursors[stream] = entry
                event = read_event(fields)
                if event is not None and is_about(event, run) and not seen.is_copy(event, entry):
                    yield entry, event
            if stop() or (deadline is not None and time.monotonic() >= deadline) or (not entries and idle()):
                return

    def _read(self, cursors: dict[str, str], seconds: float) -> list[tuple[str, str, Any]]:
        """Entries of all streams in the order of their ids; none after so long, or after an error and a pause."""
        try:
            with server_errors(self._redis):
                positions: dict[Any, Any] = {**cursors}
                answer: Any = self._redis.xread(positions, count=_COUNT, block=max(1, round(seconds * 1000)))
        except TransientError:
            time.sleep(max(0.0, min(_PAUSE_SECONDS * random.uniform(0.5, 1.0), seconds)))  # noqa: S311 - a pause is no secret
            return []
        by_stream = answer.items() if isinstance(answer, dict) else answer or []
        entries = [
            (text(stream), text(entry), fields)
            for stream, batch in by_stream
            for entry, fields in (batch[0] if batch and isinstance(batch[0], list) else batch)
        ]
        return sorted(entries, key=lambda item: tuple(int(part) for part in item[1].split("-")))
