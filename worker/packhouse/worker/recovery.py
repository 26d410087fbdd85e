"""The bootstep that brings back work whose process or wake-up was lost."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from redis.exceptions import RedisError

from packhouse.worker import process
from packhouse.worker.context import Context
from packhouse.worker.identity import is_alive
from packhouse.worker.intake.reader import GROUP
from packhouse.worker.intake.step import Intake
from packhouse.worker.ledger import Held, Ledger, LedgerVersionError, connect
from packhouse.worker.packagers.registry import QUEUES
from packhouse.worker.settings import Settings
from packhouse.worker.step import ThreadStep

log = logging.getLogger(__name__)

_OF_A_LEASE: Final = 0.6
"""A lease at work is renewed each fifth of its time, or somewhat later: so much of it is surely left."""

_TIDY_EVERY: Final = 300.0
"""Seconds between looks for what killed workers left, which costs an idle worker a command each time."""
_GONE_AFTER: Final = 3600.0
"""Seconds after which a reader of the run queue that gives no sign is taken to be gone."""


def recover_here(context: Context, ledger: Ledger, leases: Iterable[Held]) -> int:
    """Bring back the jobs of processes of this place that are gone. Returns how many."""
    count = 0
    for held in leases:
        main, _, mark = held.process.partition(" ")
        if is_alive(mark):
            continue
        kind = "crash" if is_alive(main) else "loss"
        wakes = ledger.lose(held, kind)
        for _ in wakes:
            log.warning("The process of job %s:%s is gone (%s): it waits again", held.run, held.job, kind)
        context.wake(wakes)
        count += len(wakes)
    return count


def hand_back(context: Context) -> int:
    """End what this worker's processes still work on and give it back, uncounted. Returns how many jobs."""
    ledger, identity = context.ledger, context.identity
    ledger.leave(identity)
    count = 0
    for held in ledger.held_at(identity.place):
        if held.worker != identity.worker:
            continue
        mark = held.process.partition(" ")[2]
        if is_alive(mark) and mark != identity.main:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(mark.partition("@")[0]), signal.SIGKILL)
        wakes = ledger.lose(held, "handback")
        context.wake(wakes)
        count += len(wakes)
    ledger.sign_off(identity)
    return count


def _beat_seconds(settings: Settings) -> float:
    """How long a worker is taken to live after its last beat: shorter than a lease after its last renewal.

    So when a lease of a host that was cut off runs out, its worker is known to be lost, and no crash is counted.
    """
    longest = _OF_A_LEASE * settings.lease_seconds
    return max(2 * settings.sweep_seconds, min(max(5.0, 4 * settings.sweep_seconds), longest))


def _end_after_grace() -> None:
    """Let running packages finish, hand back what does not, and end the worker.

    Celery's own soft shutdown sleeps for the whole period even where the work ends sooner; its warm shutdown waits for
    the work without an end. This is the warm shutdown with an end.
    """
    context = process.context()
    time.sleep(context.settings.soft_shutdown_seconds)
    try:
        count = hand_back(context)
        log.warning("The grace period is over: %d packages were handed back for another worker", count)
    finally:
        logging.shutdown()
        os._exit(0)


class Recovery(ThreadStep):
    """Sweeps in a thread of the worker's main process; of all workers, one at a time does the round for all."""

    title = "recovery"
    _queues: tuple[str, ...] = ()
    _intake: Intake | None = None

    def start(self, parent: Any) -> None:
        """Begin."""
        self._queues = tuple(parent.app.amqp.queues.consume_from)
        self._intake = next((step for step in parent.steps if isinstance(step, Intake)), None)
        super().start(parent)

    def run(self, stop: threading.Event) -> None:
        """Sweep until told to stop."""
        context = process.context()
        settings = context.settings
        ledger = Ledger(connect(settings.redis_url, patient=False, timeout=10.0), settings)
        healthy_since: float | None = None
        tidied = time.monotonic()
        pause = 0.0
        while not stop.wait(pause):
            pause = settings.sweep_seconds
            self.turn()
            try:
                now = ledger.round(
                    context.identity,
                    alive=_beat_seconds(settings),
                    sweep=settings.sweep_seconds * 0.9,
                    queues=self._queues,
                )
                healthy_since = healthy_since or time.monotonic()
                if self._intake is not None:
                    self._intake.waits = now.waits
                recover_here(context, ledger, now.held)
                if now.sweeps:
                    # After an absence of the server, processes at work get the time to renew their leases first.
                    patient = time.monotonic() - healthy_since < settings.lease_seconds
                    self._sweep(context, ledger, expired=not patient)
                    if time.monotonic() - tidied > _TIDY_EVERY:
                        tidied = time.monotonic()
                        self._tidy(ledger)
            except LedgerVersionError as error:
                process.end_now(error.explained)
            except RedisError as error:
                healthy_since = None
                log.warning("Recovery cannot reach Redis: %s", error)
            except Exception:
                log.exception("Unforeseen error in recovery")

    def stop(self, parent: Any) -> None:
        """The worker stops: its packages have until the end of the grace period."""
        super().stop(parent)
        threading.Thread(target=_end_after_grace, name="grace", daemon=True).start()

    def terminate(self, parent: Any) -> None:
        """The worker stops at once."""
        super().stop(parent)
        process.context().ledger.leave(process.identity())

    @staticmethod
    def _sweep(context: Context, ledger: Ledger, *, expired: bool) -> None:
        swept = ledger.sweep(QUEUES, expired=expired)
        for queue, count in Counter(wake.queue for wake in swept.lost).items():
            log.warning("%d wake-ups of queue %s were lost: sending them again", count, queue)
        context.wake([*swept.due, *swept.lost])

    @staticmethod
    def _tidy(ledger: Ledger) -> None:
        if count := ledger.forget_readers(GROUP, _GONE_AFTER):
            log.info("%d readers of the run queue that were killed are forgotten", count)
