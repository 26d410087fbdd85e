"""The bootstep that brings back work whose process or wake-up was lost."""

from __future__ import annotations

import logging
import threading
import time

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from packhouse.worker import process
from packhouse.worker.context import Context
from packhouse.worker.identity import is_alive
from packhouse.worker.ledger import Ledger, connect
from packhouse.worker.packagers.registry import QUEUES
from packhouse.worker.step import ThreadStep

log = logging.getLogger(__name__)


def recover_here(context: Context, ledger: Ledger) -> int:
    """Bring back the jobs of processes of this place that are gone. Returns how many."""
    count = 0
    for held in ledger.held_at(context.identity.place):
        main, _, mark = held.process.partition(" ")
        if is_alive(mark):
            continue
        kind = "crash" if is_alive(main) else "loss"
        for wake in ledger.lose(held, kind):
            log.warning("The process of job %s:%s is gone (%s): it waits again", held.run, held.job, kind)
            context.wake(wake)
            count += 1
    return count


def hand_back(context: Context) -> int:
    """Give back every lease of this worker, uncounted. Returns how many."""
    count = 0
    for held in context.ledger.held_at(context.identity.place):
        if held.worker == context.identity.worker:
            for wake in context.ledger.lose(held, "handback"):
                context.wake(wake)
                count += 1
    context.ledger.sign_off(context.identity)
    return count


class Recovery(ThreadStep):
    """Sweeps in a thread of the worker's main process; of all workers, one at a time does the round for all."""

    title = "recovery"

    def run(self, stop: threading.Event) -> None:
        """Sweep until told to stop."""
        context = process.context()
        settings = context.settings
        ledger = Ledger(connect(settings.redis_url, patient=False, timeout=10.0), settings)
        healthy_since: float | None = None
        pause = 0.0
        while not stop.wait(pause):
            pause = settings.sweep_seconds
            try:
                ledger.beat(context.identity, max(5.0, 4 * settings.sweep_seconds))
                healthy_since = healthy_since or time.monotonic()
                recover_here(context, ledger)
                if ledger.take_sweep(settings.sweep_seconds * 0.9):
                    # After an absence of the server, processes at work get the time to renew their leases first.
                    patient = time.monotonic() - healthy_since < settings.lease_seconds
                    self._sweep(context, ledger, expired=not patient)
            except (RedisError, OperationalError) as error:
                healthy_since = None
                log.warning("Recovery cannot reach Redis: %s", error)
            except Exception:
                log.exception("Unforeseen error in recovery")

    @staticmethod
    def _sweep(context: Context, ledger: Ledger, *, expired: bool) -> None:
        from packhouse.worker.app import app

        wakes = ledger.sweep(expired=expired)
        for queue in QUEUES:
            missed = ledger.missed(queue, app.depth(queue))
            if missed:
                log.warning("%d wake-ups of queue %s were lost: sending them again", len(missed), queue)
            wakes += missed
        for wake in wakes:
            context.wake(wake)
