"""Reading the status queue as one of several, each event going to one reader."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from redis import Redis
from redis.exceptions import ResponseError

from packhouse.producers.connection import server_errors
from packhouse.producers.streams import AnyStatus, Seen, read_event, text
from packhouse.schemas.errors import TransientError
from packhouse.schemas.keys import Keys

_BLOCK_SECONDS: Final = 1.0
_PAUSE_SECONDS: Final = 0.5
_START: Final = "0-0"


class StatusGroup:
    """A reader in a consumer group.

    Every event goes to one reader of the group, and comes again until it is acknowledged: to the same reader when it
    starts again, and to another one when its reader has been silent for ``takeover`` seconds.
    """

    def __init__(
        self, redis: Redis, keys: Keys, name: str, consumer: str, *, start: str = "0", takeover: float = 60.0
    ) -> None:
        """``start`` is where a group that is new begins: ``0`` with the oldest entry, ``$`` with the next."""
        self._redis = redis
        self._stream = keys.status
        self._name = name
        self._consumer = consumer
        self._start = start
        self._takeover = takeover
        self._seen = Seen()
        with server_errors(redis):
            self._create()

    def events(
        self, *, count: int = 100, timeout: float | None = None, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[tuple[str, AnyStatus]]:
        """Entry ids and events, to be acknowledged one by one.

        First comes what this reader was given before and did not acknowledge, then what dead readers left, and new
        ones. Ends after ``timeout`` seconds, or soon after ``stop`` says so.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        yield from self._own(count)
        next_takeover = 0.0
        while True:
            entries: list[tuple[str, Any]] = []
            if time.monotonic() >= next_takeover:
                entries = self._guarded(lambda: self._take_over(count))
                next_takeover = time.monotonic() + self._takeover / 4
            left = _BLOCK_SECONDS if deadline is None else deadline - time.monotonic()
            block = max(1, round(min(_BLOCK_SECONDS, left, self._takeover / 4) * 1000))
            entries = entries or self._guarded(lambda block=block: self._fetch(">", count, block))
            yield from self._deliver(entries)
            if stop() or (deadline is not None and time.monotonic() >= deadline):
                return

    def ack(self, *entry_ids: str) -> None:
        """These entries are dealt with, and do not come again. Raises ``TransientError`` (``connection_failed``)."""
        with server_errors(self._redis):
            self._redis.xack(self._stream, self._name, *entry_ids)

    def _own(self, count: int) -> Iterator[tuple[str, AnyStatus]]:
        cursor = _START
        while entries := self._guarded(lambda cursor=cursor: self._fetch(cursor, count, None)):
            cursor = entries[-1][0]
            yield from self._deliver(entries)

    def _deliver(self, entries: list[tuple[str, Any]]) -> Iterator[tuple[str, AnyStatus]]:
        for entry, fields in entries:
            event = read_event(fields)
            # Trimmed away meanwhile, of a kind this version does not know, or a second copy: nobody's to deal with.
            if event is None or self._seen.is_copy(event, entry):
                self._guarded(lambda entry=entry: self._drop(entry))
            else:
                yield entry, event

    def _fetch(self, after: str, count: int, block: int | None) -> list[tuple[str, Any]]:
        answer: Any = self._redis.xreadgroup(
            self._name, self._consumer, {self._stream: after}, count=count, block=block
        )
        by_stream = answer.items() if isinstance(answer, dict) else answer or []
        return [
            (text(entry), fields)
            for _, batch in by_stream
            for entry, fields in (batch[0] if batch and isinstance(batch[0], list) else batch)
        ]

    def _take_over(self, count: int) -> list[tuple[str, Any]]:
        idle = round(self._takeover * 1000)
        cursor, taken = _START, list[tuple[str, Any]]()
        while len(taken) < count:
            answer: Any = self._redis.xautoclaim(
                self._stream, self._name, self._consumer, idle, start_id=cursor, count=count
            )
            taken += [(text(entry), fields) for entry, fields in answer[1] if entry is not None]
            cursor = text(answer[0])
            if cursor == _START:
                break
        return taken

    def _drop(self, entry: str) -> list[tuple[str, Any]]:
        self._redis.xack(self._stream, self._name, entry)
        return []

    def _guarded(self, read: Callable[[], list[tuple[str, Any]]]) -> list[tuple[str, Any]]:
        """What ``read`` gives; nothing, after a pause, while the server is away or has lost the group."""
        try:
            with server_errors(self._redis):
                try:
                    return read()
                except ResponseError as error:
                    if not str(error).startswith("NOGROUP"):
                        raise
                    self._create()
        except TransientError:
            time.sleep(_PAUSE_SECONDS)
        return []

    def _create(self) -> None:
        try:
            self._redis.xgroup_create(self._stream, self._name, id=self._start, mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
