"""The bootstep that reads the run queue in every worker."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, Final

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from packhouse.worker import process
from packhouse.worker.intake.reader import RunQueueReader
from packhouse.worker.ledger import connect
from packhouse.worker.step import ThreadStep

log = logging.getLogger(__name__)

_BLOCK: Final = 5.0
"""Seconds that a read waits for an entry at most. A stop cuts the wait short."""
_TAKE_OVER_EVERY: Final = 5.0
_PAUSE: Final = 0.5


class Intake(ThreadStep):
    """Reads the run queue in a thread of the worker's main process, as long as the worker runs."""

    title = "intake"
    waits = True
    """Whether to wait at the run queue, or only to look there now and then: with many workers few have to wait."""
    _redis: Redis | None = None

    def stop(self, parent: Any) -> None:
        """Read no more, and wait until what was read is in the ledger."""
        self._stop.set()
        if self._redis is not None:
            # Only the reading goes by this connection. An entry that the server sends at this moment is pending, and
            # taken over by another reader.
            self._redis.connection_pool.disconnect()
        super().stop(parent)

    def run(self, stop: threading.Event) -> None:
        """Read until told to stop; what was taken in is in the ledger, what was not stays in the queue."""
        context = process.context()
        redis = self._redis = connect(context.settings.redis_url, patient=False, decode=False)
        reader = RunQueueReader(redis, context)
        # A thread that waits must not look like one that hangs.
        block_ms = int(min(_BLOCK, context.settings.health_seconds / 4) * 1000)
        joined = False
        took_over = 0.0
        failed = False
        while not stop.is_set():
            self.turn()
            try:
                if not joined:
                    reader.join()
                    joined = True
                if time.monotonic() - took_over >= _TAKE_OVER_EVERY:
                    took_over = time.monotonic()
                    self._take_over(reader, stop)
                self._read(reader, stop, block_ms, failed=failed)
                if failed:
                    # What the server's failure left in hand, after what is new: if it fails again it holds up no other.
                    reader.resume()
                    failed = False
            except ResponseError as error:
                # NOGROUP: the stream was deleted under us, or the server came back without it.
                log.warning("The run queue answered: %s", error)
                joined = False
                failed = True
                stop.wait(_PAUSE)
            except RedisError as error:
                failed = True
                if not stop.is_set():
                    log.warning("Cannot read the run queue: %s", error)
                stop.wait(_PAUSE)
            except Exception:
                # Entries stay pending and are taken over; a reader that dies would leave a worker deaf. A stop cuts the
                # connection, whatever the client is doing with it.
                level = logging.DEBUG if stop.is_set() else logging.ERROR
                log.log(level, "Unforeseen error in the intake", exc_info=True)
                stop.wait(_PAUSE)
        try:
            reader.leave()
        except RedisError as error:
            log.info("Left the run queue without saying so: %s", error)
        redis.close()

    def _read(self, reader: RunQueueReader, stop: threading.Event, block_ms: int, *, failed: bool) -> None:
        waits = self.waits
        found = reader.read(block_ms if waits and not failed else 1)
        if not waits and not found:
            stop.wait(block_ms / 1000)

    def _take_over(self, reader: RunQueueReader, stop: threading.Event) -> None:
        while reader.take_over() and not stop.is_set():
            self.turn()
