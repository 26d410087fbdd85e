"""Keeping a lease while its work moves, and telling how far the work is."""

from __future__ import annotations

import contextlib
import contextvars
import logging
import os
import threading
import time
from functools import cache
from types import TracebackType
from typing import Final, Self

from redis import Redis
from redis.exceptions import RedisError

from packhouse.schemas.cloudevent import RunRef
from packhouse.schemas.keys import FIELD
from packhouse.schemas.status import PackageProgress, PackageProgressEvent, PackageRef
from packhouse.worker.ledger import RANK_JOB, Lease, LeaseLost, Ledger, Motion
from packhouse.worker.metrics.recorder import recorder
from packhouse.worker.settings import Settings
from packhouse.worker.tracing import Span

log = logging.getLogger(__name__)

_TICK: Final = 0.25
"""Seconds between two looks of the keeping thread; the most often that progress is told."""
_IDLE: Final = 1.0
"""Seconds without a lease after which the keeping thread sleeps."""
_STUCK: Final = 70
"""Exit status of a process that lost its lease and still hangs."""


class _Watch(threading.Thread):
    """The thread of a process that looks after the leases it holds.

    One for all jobs: to start a thread for each took a sixth of what a short job takes. Between jobs it looks about for
    a second and then sleeps until it is called.
    """

    def __init__(self) -> None:
        super().__init__(name="lease-keeper", daemon=True)
        self._lock = threading.Lock()
        self._called = threading.Event()
        self._kept: dict[LeaseKeeper, contextvars.Context] = {}
        self.start()

    def add(self, keeper: LeaseKeeper) -> None:
        """Look after a lease from now on. What is logged there is about the same job as here."""
        with self._lock:
            self._kept[keeper] = contextvars.copy_context()
        self._called.set()

    def remove(self, keeper: LeaseKeeper) -> None:
        """Leave it alone. A look that is under way is waited for."""
        with self._lock:
            self._kept.pop(keeper, None)

    def run(self) -> None:
        """Look at each lease every so often."""
        idle = 0.0
        while True:
            with self._lock:
                for keeper, context in self._kept.items():
                    try:
                        context.run(keeper.look)
                    except Exception:
                        log.exception("Unforeseen error while keeping a lease")
                tick = min((keeper.tick for keeper in self._kept), default=_TICK)
                idle = 0.0 if self._kept else idle + tick
                if idle >= _IDLE:
                    self._called.clear()
            if idle >= _IDLE:
                self._called.wait()
                idle = 0.0
            time.sleep(tick)


@cache
def _watch_of(_pid: int) -> _Watch:
    return _Watch()


class LeaseKeeper:
    """Renews a lease from another thread, as long as the work reports progress in time.

    A stage that shows none for ``stage_seconds`` is taken to hang: the lease is let go, and a process that cannot be
    brought to stop ends itself, so that its place in the pool is not lost. Implements ``packagers.base.Progress``.
    """

    def __init__(
        self,
        ledger: Ledger,
        lease: Lease,
        settings: Settings,
        run: RunRef,
        package: PackageRef | None,
        span: Span | None = None,
    ) -> None:
        self._ledger = ledger
        self._lease = lease
        self._settings = settings
        self._run = run
        self._package = package
        self._lost = threading.Event()
        self._moved = time.monotonic()
        self._stage = "starting"
        self._bytes_done = 0
        self._bytes_total = 0
        self._told = ("", 0)
        self._events = 0
        self._stages = recorder().stages(package.type if package else RANK_JOB, span or Span())
        self._every = settings.lease_seconds / 5
        self._renewed = self._began = self._moved
        self.tick = min(_TICK, self._every)
        """Seconds between two looks."""

    def __enter__(self) -> Self:
        _watch_of(os.getpid()).add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _watch_of(os.getpid()).remove(self)
        # Nobody has seen the progress of what is over within a tick, and its end says all.
        if self._events:
            self._try_to_tell(self._ledger.impatient.redis)
        self._stages.end()

    def stage(self, name: str, total: int = 0) -> None:
        """A new stage begins, with so many bytes to do. Raises ``LeaseLost``."""
        self._stage, self._bytes_done, self._bytes_total = name, 0, total
        self._stages.begin(name)
        self.advance(0)

    def advance(self, count: int) -> None:
        """So many bytes more are done. Raises ``LeaseLost``."""
        self._bytes_done += count
        self._stages.advance(count)
        self._moved = time.monotonic()
        if self._lost.is_set():
            raise LeaseLost

    def confirm(self) -> None:
        """Ask the ledger, and hold the lease for its full time from now. Raises ``LeaseLost``."""
        self._confirm(publishing=False)

    def commit(self) -> None:
        """As ``confirm``, before what others will see: from here on the run's cancelling comes too late for this."""
        self._confirm(publishing=True)

    def _confirm(self, *, publishing: bool) -> None:
        self.advance(0)
        if not self._ledger.renew(self._lease, self._motion(), publishing=publishing):
            self._lost.set()
            raise LeaseLost

    def _motion(self) -> Motion:
        silent = time.monotonic() - self._moved
        return Motion(self._stage, self._bytes_done, self._bytes_total, max(0.0, silent))

    def look(self) -> None:
        """Renew the lease where it is time to, and tell of progress. For the thread that looks after it."""
        now = time.monotonic()
        if now - self._began < self.tick:
            return
        ledger, silent = self._ledger.impatient, now - self._moved
        if self._lost.is_set():
            if silent > self._settings.stage_seconds * 2:
                log.critical("The lease is lost and the work hangs in stage %s: ending this process", self._stage)
                os._exit(_STUCK)
            return
        # Apart from the lease: a server that takes no more events for want of memory still renews.
        self._try_to_tell(ledger.redis)
        try:
            if silent > self._settings.stage_seconds:
                log.error("No progress in stage %s for %.0f s: letting the lease go", self._stage, silent)
                self._lost.set()
            elif now - self._renewed >= self._every:
                if not ledger.renew(self._lease, self._motion()):
                    self._lost.set()
                self._renewed = now
        except RedisError as error:
            log.warning("Cannot reach Redis to renew a lease: %s", error)

    def _try_to_tell(self, redis: Redis) -> None:
        """Progress that cannot be told is not missed."""
        with contextlib.suppress(RedisError):
            self._tell(redis)

    def _tell(self, redis: Redis) -> None:
        state = (self._stage, self._bytes_done)
        if self._package is None or state == self._told:
            return
        self._told = state
        self._events += 1
        lease = self._lease
        event = PackageProgressEvent(
            id=f"{lease.run}/{lease.job}/progress/{lease.attempt}/{self._events}",
            source=self._run.source,
            subject=self._run.id,
            data=PackageProgress(
                package=self._package,
                stage=self._stage,
                bytes_done=self._bytes_done,
                bytes_total=self._bytes_total,
                attempt=lease.attempt,
            ),
        )
        redis.xadd(
            self._ledger.keys.progress,
            {FIELD: event.model_dump_json(exclude_none=True)},
            maxlen=self._settings.progress_length,
            approximate=True,
        )
