"""The bootsteps that tell probes how a worker is."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, Final, cast

from celery import bootsteps
from redis import Redis
from redis.exceptions import RedisError

from packhouse.schemas.keys import Keys
from packhouse.worker import process
from packhouse.worker.intake.step import Intake
from packhouse.worker.ledger import connect
from packhouse.worker.metrics.step import Metrics
from packhouse.worker.recovery import Recovery
from packhouse.worker.settings import Settings
from packhouse.worker.step import ThreadStep
from packhouse.worker.vitals import Limits, Vitals, make_run_dir, run_dir

log = logging.getLogger(__name__)

_EVERY: Final = 1.0
"""Seconds between two words of a worker; the main loop turns at least as often."""
_ASKS_EVERY: Final = 4.0
"""Seconds between two questions to the server."""
_AFTER_GRACE: Final = 15.0
"""Seconds that a worker may take to end once its grace period is over."""


class Health(ThreadStep):
    """Writes the worker's vitals from a thread of its main process, until that ends.

    A stopped process writes nothing; where only the main loop or another thread hangs, what it writes says so.
    """

    title = "health"
    requires = ("celery.worker.components:Pool", Intake, Recovery, Metrics)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        now = time.monotonic()
        self.looped = now
        self.disconnected: float | None = now
        self._draining: float | None = None
        self._answered = now
        self._back = now
        self._registered = False
        self._siblings: list[ThreadStep] = []

    def start(self, parent: Any) -> None:
        """Begin."""
        self._siblings = [step for step in parent.steps if isinstance(step, ThreadStep) and step is not self]
        super().start(parent)

    def stop(self, parent: Any) -> None:  # noqa: ARG002 (Celery's signature)
        """The worker stops. The thread goes on and says so, and ends with the process."""
        self._draining = self._draining or time.monotonic()

    def run(self, stop: threading.Event) -> None:
        """Look and write, once a second."""
        settings, identity = process.context().settings, process.identity()
        folder = run_dir(settings.run_dir)
        redis = connect(settings.redis_url, patient=False, timeout=5.0)
        try:
            make_run_dir(folder, identity)
        except OSError as error:
            log.warning("Probes of this worker will fail: it cannot use its run directory %s (%s)", folder, error)
            return
        asked = 0.0
        while not stop.wait(_EVERY):
            try:
                if time.monotonic() - asked >= (_ASKS_EVERY if self._registered else 0):
                    asked = time.monotonic()
                    self._ask(redis, f"{Keys(settings.namespace).prefix}worker:{identity.worker}")
                self._vitals(settings).write(folder)
            except OSError as error:
                log.warning("Cannot write into the run directory %s: %s", folder, error)
            except Exception:
                log.exception("Unforeseen error in the watch over this worker")

    def _ask(self, redis: Redis, key: str) -> None:
        before = self._answered
        try:
            self._registered = bool(redis.exists(key))
        except RedisError:
            return
        self._answered = time.monotonic()
        if self._answered - before > 2 * _ASKS_EVERY:
            self._back = self._answered

    def _vitals(self, settings: Settings) -> Vitals:
        identity = process.identity()
        return Vitals(
            worker=identity.worker,
            name=identity.name,
            place=identity.place,
            main=identity.main,
            limits=Limits(
                hang=settings.health_seconds,
                away=settings.health_server_seconds,
                drain=settings.soft_shutdown_seconds + _AFTER_GRACE,
            ),
            roots=settings.roots,
            written=time.monotonic(),
            looped=self.looped,
            threads={step.title: step.turned if step.is_alive else 0.0 for step in self._siblings},
            answered=self._answered,
            back=self._back,
            disconnected=self.disconnected,
            draining=self._draining,
            registered=self._registered,
        )


class Loop(bootsteps.StartStopStep):
    """Turns with the consumer's main loop, and knows when Celery is connected: it starts and stops with that."""

    requires = ("celery.worker.consumer.tasks:Tasks",)
    _entry: Any = None

    def start(self, parent: Any) -> None:
        """Connected, and the loop is about to turn."""
        health = _health(parent)
        health.looped, health.disconnected = time.monotonic(), None
        self._entry = parent.timer.call_repeatedly(_EVERY, _turn, (health,))

    def stop(self, parent: Any) -> None:
        """The connection was lost, or the worker stops."""
        if self._entry is not None:
            parent.timer.cancel(self._entry)
        health = _health(parent)
        health.disconnected = health.disconnected or time.monotonic()


def _turn(health: Health) -> None:
    health.looped = time.monotonic()


def _health(consumer: Any) -> Health:
    return next(step for step in cast("list[Any]", consumer.controller.steps) if isinstance(step, Health))
