"""What is done to workers and their server while they work."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psutil
from redis.exceptions import RedisError
from support.farm import Farm, Worker, wait_for
from support.proxy import Proxy
from support.server import Server

from packhouse.worker.identity import place
from packhouse.worker.ledger import Held
from packhouse.worker.packagers.registry import QUEUES

POINTS = ("zip.writing", "zip.poured", "zip.renamed", "intake.read", "intake.opened", "intake.woken")
PAST_LEASE = 1.5
"""Seconds beyond a lease that a process is held up."""
_REACHED_WITHIN = 8.0


@dataclass
class Fault:
    """Something that was done."""

    kind: str
    at: float
    """Seconds since 1970."""
    jobs: set[str] = field(default_factory=set)
    """What was being worked on by those that it was done to, as ``<run>/<job>``."""
    done: bool = True
    """False where there was nothing at that moment to do it to."""


class Injuries:
    """Does something to a farm, whose workers reach their server by a proxy. Methods without underscore are kinds."""

    def __init__(self, farm: Farm, server: Server, proxy: Proxy, luck: random.Random, workers: int) -> None:
        self._farm = farm
        self._server = server
        self._proxy = proxy
        self._luck = luck
        self._workers = workers
        self._jobs: set[str] = set()
        self.wakes_doubled = 0

    def inflict(self, kind: str) -> Fault:
        """Do one thing, and bring the number of workers back to what it was."""
        self._jobs = set()
        at = time.time()
        done: bool | None = getattr(self, kind)()
        missing = self._workers - sum(worker.runs for worker in self._farm.workers)
        self._farm.start(max(0, missing), ready=False)
        return Fault(kind, at, self._jobs, done is not False)

    def child_killed(self) -> bool:
        """A process of a pool, which works on something if any does."""
        for victim in self._children()[:1]:
            self._signal(victim, signal.SIGKILL)
            return True
        return False

    def worker_killed(self) -> None:
        """A whole worker, as by a machine that loses power."""
        worker = self._some_worker()
        self._hit(worker.process.pid)
        worker.kill()

    def all_killed(self) -> None:
        """Every worker at once."""
        for worker in self._running():
            self._hit(worker.process.pid)
            worker.kill()

    def worker_stopped(self) -> None:
        """A worker told to stop, as when it is replaced by a newer one."""
        worker = self._some_worker()
        self._hit(worker.process.pid)
        worker.terminate()
        self._farm.start(1, ready=False)
        assert worker.process.wait(60) == 0, worker.log.read_text("utf-8", "replace")[-4000:]

    def child_paused(self) -> bool:
        """A process of a pool, past its lease."""
        for victim in self._children()[:1]:
            self._signal(victim, signal.SIGSTOP)
            time.sleep(self._farm.settings.lease_seconds + PAST_LEASE)
            self._signal(victim, signal.SIGCONT)
            return True
        return False

    def worker_paused(self) -> None:
        """A whole worker, past all its leases."""
        worker = self._some_worker()
        self._hit(worker.process.pid)
        with contextlib.suppress(psutil.NoSuchProcess):
            family = [psutil.Process(worker.process.pid), *worker.pool]
            for one in family:
                self._signal(one, signal.SIGSTOP)
            time.sleep(self._farm.settings.lease_seconds + PAST_LEASE)
            for one in family:
                self._signal(one, signal.SIGCONT)

    def point_killed(self) -> bool:
        """Whoever reaches a named point first, killed there; of the intake, the whole worker."""
        with self._held() as pid:
            if pid is None:
                return False
            self._hit(pid)
            for worker in self._farm.workers:
                worker.told_to_end |= worker.process.pid == pid
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            return True

    def point_paused(self) -> bool:
        """Whoever reaches a named point first, stopped there until its lease has passed."""
        with self._held() as pid:
            if pid is None:
                return False
            self._hit(pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        time.sleep(self._farm.settings.lease_seconds + PAST_LEASE)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        return True

    def message_deleted(self) -> bool:
        """All wake-ups that lie in Celery's queues."""
        return bool(self._farm.redis.delete(*self._queues()))

    def message_doubled(self) -> bool:
        """Every wake-up that lies in Celery's queues, once more, and one for each job at work."""
        for queue in self._queues():
            for message in self._messages(queue):
                self._farm.redis.lpush(queue, message)
                self.wakes_doubled += 1
        return self.wakes_doubled > 0

    def message_delayed(self) -> bool:
        """All wake-ups taken away, and put back when recovery has sent others."""
        taken: dict[str, list[str]] = {}
        for queue in self._queues():
            taken[queue] = self._messages(queue)
            self._farm.redis.delete(queue)
        if not any(taken.values()):
            return False
        time.sleep(4 * self._farm.settings.sweep_seconds)
        for queue, messages in taken.items():
            for message in messages:
                self._farm.redis.rpush(queue, message)
                self.wakes_doubled += 1
        return True

    def server_killed(self) -> None:
        """As by a crash, and started again at once."""
        self._hit_all()
        self._server.kill()
        self._server.start()

    def server_restarted(self) -> None:
        """Stopped in good order and started again."""
        self._hit_all()
        self._server.stop()
        self._server.start()

    def server_away(self) -> None:
        """Gone for longer than a lease."""
        self._hit_all()
        self._server.kill()
        time.sleep(self._farm.settings.lease_seconds + PAST_LEASE)
        self._server.start()

    def server_full(self) -> None:
        """Out of memory, and told to evict nothing."""
        self._hit_all()
        self._farm.redis.config_set("maxmemory", "1")
        time.sleep(self._luck.uniform(0.5, 3))
        self._farm.redis.config_set("maxmemory", "0")

    def server_read_only(self) -> None:
        """A replica for a while, as in a failover that is taken back."""
        self._hit_all()
        self._farm.redis.replicaof("127.0.0.1", "1")
        time.sleep(self._luck.uniform(0.5, 3))
        self._farm.redis.replicaof("NO", "ONE")

    def server_slow(self) -> None:
        """Answers nobody for a while."""
        self._hit_all()
        self._farm.redis.client_pause(round(self._luck.uniform(0.5, 3) * 1000))

    def connections_cut(self) -> None:
        """Every connection of the workers."""
        self._hit_all()
        self._proxy.cut()

    def answers_lost(self) -> None:
        """The server runs some scripts, and who asked for them never hears of it."""
        self._hit_all()
        self._proxy.swallow(self._luck.randint(1, 12))

    @staticmethod
    def _signal(process: psutil.Process, number: signal.Signals) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)

    def _running(self) -> list[Worker]:
        return [worker for worker in self._farm.workers if worker.runs]

    def _some_worker(self) -> Worker:
        """One that is past its start."""
        return self._luck.choice(wait_for(self._ready, what="a worker to do it to"))

    def _ready(self) -> list[Worker]:
        try:
            names = self._farm.signed_on()
        except RedisError:
            return []
        return [worker for worker in self._running() if worker.name in names]

    def _children(self) -> list[psutil.Process]:
        """Processes of pools, those that work on something first."""
        busy = [int(held.process.partition(" ")[2].partition("@")[0]) for held in self._leases()]
        self._luck.shuffle(busy)
        idle = [one.pid for worker in self._running() for one in worker.pool[:1]]
        found: list[psutil.Process] = []
        for pid in busy or idle:
            with contextlib.suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(pid))
                self._hit(pid)
                break
        return found

    def _leases(self) -> list[Held]:
        try:
            return self._farm.ledger.held_at(place())
        except RedisError:
            return []

    def _hit(self, pid: int) -> None:
        """What the process, or the worker whose main process it is, works on is hit."""
        self._note(held for held in self._leases() if f" {pid}@" in f" {held.process}")

    def _hit_all(self) -> None:
        self._note(self._leases())

    def _note(self, leases: Iterable[Held]) -> None:
        self._jobs |= {f"{held.run}/{held.job}" for held in leases}

    def _queues(self) -> list[str]:
        return [f"{self._farm.keys.prefix}celery:{queue}" for queue in QUEUES]

    def _messages(self, queue: str) -> list[str]:
        messages: Any = self._farm.redis.lrange(queue, 0, -1)
        return messages

    @contextmanager
    def _held(self) -> Generator[int | None]:
        """The process that reaches a named point first and is held there, until the end."""
        point = self._luck.choice(POINTS)
        before = set(self._farm.reached(point))
        self._farm.hold(point)
        try:
            yield self._first(point, before)
        finally:
            self._farm.let_go(point)

    def _first(self, point: str, before: set[int]) -> int | None:
        deadline = time.monotonic() + _REACHED_WITHIN
        while time.monotonic() < deadline:
            if fresh := [pid for pid in self._farm.reached(point) if pid not in before]:
                return fresh[0]
            time.sleep(0.02)
        return None


KINDS = tuple(name for name in vars(Injuries) if not name.startswith("_") and name != "inflict")
"""Everything that can be done, by the names of the methods."""
