"""The bootstep that reads the run queue in every worker."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, Final

from celery import bootsteps
from redis.exceptions import RedisError, ResponseError

from packhouse.worker import process
from packhouse.worker.intake.reader import RunQueueReader
from packhouse.worker.ledger.ledger import connect

log = logging.getLogger(__name__)

_BLOCK_MS: Final = 1000
"""How long a read waits for an entry, and so how long a stop may have to wait for the read."""
_TAKE_OVER_EVERY: Final = 5.0
_PAUSE: Final = 0.5


class Intake(bootsteps.StartStopStep):
    """Reads the run queue in a thread of the worker's main process, as long as the worker runs."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, parent: Any) -> None:
        """Begin to read."""
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)
        self._thread.start()

    def stop(self, parent: Any) -> None:
        """Stop reading; what was taken in stays in the ledger, what was not stays in the queue."""
        self._stop.set()
        if self._thread:
            self._thread.join(timeout=_BLOCK_MS / 1000 + 5)

    terminate = stop

    def _run(self) -> None:
        context = process.context()
        redis = connect(context.settings.redis_url, patient=False, decode=False)
        reader = RunQueueReader(redis, context)
        joined = False
        took_over = 0.0
        while not self._stop.is_set():
            try:
                if not joined:
                    reader.join()
                    joined = True
                if time.monotonic() - took_over >= _TAKE_OVER_EVERY:
                    took_over = time.monotonic()
                    while reader.take_over() and not self._stop.is_set():
                        pass
                reader.read(_BLOCK_MS)
            except ResponseError as error:
                # NOGROUP: the stream was deleted under us, or the server came back without it.
                log.warning("The run queue answered: %s", error)
                joined = False
                self._stop.wait(_PAUSE)
            except RedisError as error:
                log.warning("Cannot read the run queue: %s", error)
                self._stop.wait(_PAUSE)
            except Exception:
                # Entries stay pending and are taken over; a reader that dies would leave a worker deaf.
                log.exception("Unforeseen error in the intake")
                self._stop.wait(_PAUSE)
        try:
            reader.leave()
        except RedisError as error:
            log.info("Left the run queue without saying so: %s", error)
        redis.close()
