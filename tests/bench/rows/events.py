"""Runs whose packages are stubs, from publishing to the final status, against bare Celery tasks.

Both sides have one worker with as large a pool, on the same server, at the same level of logging, and Celery is set up
for both as Packhouse sets it up: events for Flower, nothing prefetched, early acknowledgement, no results. Packhouse
has the settings of a user who sets nothing but the storage roots. A run asks for one package of two candidates; its
packager makes no file, and goes through the ledger as one that does. Events are sent by ``publish``, which does not
wait for the server's disk here: the sender is not what is measured.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.farming import finish
from bench.measure import Measured, Usage, used
from bench.registry import Bench, at_least, at_most, row
from celery import Celery
from support.farm import Farm, RunMaker
from support.server import Server

from packhouse.worker.app import configuration
from packhouse.worker.settings import Settings

SAMPLES: Final = Path(__file__).parents[2] / "data"
CHILDREN: Final = Path(__file__).parents[1] / "children"
RUNS: Final = 200
POOL: Final = 2
QUEUE: Final = "noop"
MESSAGES: Final = 2
"""Celery messages that a run of one package takes: its ranking and its package."""
CALLS: Final = 6
"""Calls of the ledger by its tasks: lease and plan; lease, freeze, commit and settle."""


@dataclass
class Both:
    """A worker of ours and a bare one, each with as large a pool; while one works the other waits."""

    farm: Farm
    make: RunMaker
    sender: Celery
    made: int = 0

    def runs(self, count: int) -> Usage:
        """Publish runs and wait for all their final statuses; building the events is not counted."""
        events = [self.make(f"run-{self.made + number}") for number in range(count)]
        self.made += count
        return used(lambda: finish(self.farm, events))

    def tasks(self, count: int, calls: int | None = None) -> Usage:
        """Send tasks that do nothing, or call the server so often, and wait for the last of them."""
        name, arguments = ("noop", []) if calls is None else ("calls", [calls])

        def work() -> None:
            for _ in range(count - 1):
                self.sender.send_task(name, arguments)
            self.sender.send_task(name, [*arguments, "bench-told"])
            if not self.farm.redis.blpop(["bench-told"], 60):
                raise RuntimeError("the last task did not come")

        return used(work)


@dataclass
class Sides:
    """How a worker of either side is started, on one server."""

    bench: Bench
    server: Server

    @property
    def settings(self) -> Settings:
        return Settings(redis_url=self.server.url, namespace="bench", roots=(str(self.bench.folder),))

    @property
    def celery(self) -> dict[str, Any]:
        """What Celery is told for a bare worker: the same as ours, but for the queues."""
        return configuration(self.settings) | {"task_queues": None, "task_default_queue": QUEUE}

    def farm(self) -> Farm:
        extra = {
            "PACKHOUSE_CACHE_DIR": str(self.bench.folder / "cache"),
            "PACKHOUSE_LOG_FORMAT": self.settings.log_format,
            "PACKHOUSE_FAULT_DIR": "",
            "PYTHONPATH": str(CHILDREN),
        }
        return Farm(self.settings, self.bench.folder, extra=extra, app="stubbed")

    def sender(self) -> Celery:
        sender = Celery(broker=self.server.url)
        sender.conf.update(self.celery)
        return sender

    def bare(self) -> subprocess.Popen[bytes]:
        """A bare worker, not waited for."""
        command = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "noop",
            "worker",
            "-P",
            "prefork",
            "-c",
            str(POOL),
            "-Q",
            QUEUE,
        ]
        command += ["-l", "INFO", "--without-mingle", "--without-gossip"]
        environment = os.environ | {"BENCH_REDIS_URL": self.server.url, "BENCH_CELERY": json.dumps(self.celery)}
        with (self.bench.folder / "noop.log").open("ab") as log:
            return subprocess.Popen(command, cwd=CHILDREN, stdout=log, stderr=log, env=environment)


@contextlib.contextmanager
def both(bench: Bench) -> Generator[Both]:
    """Both workers, at work already."""
    server = Server(bench.folder)
    server.start()
    sides = Sides(bench, server)
    farm, bare = sides.farm(), sides.bare()
    try:
        farm.start(concurrency=POOL)
        one = Both(farm, RunMaker(bench.folder, SAMPLES), sides.sender())
        one.tasks(10)
        one.runs(10)
        yield one
    finally:
        bare.terminate()
        bare.wait(60)
        farm.close()
        server.stop()


@row(
    "events-per-second",
    f"{RUNS} runs of one stubbed package to their final status, events per second, against as many bare tasks",
    target=at_least(0.5, "times the tasks"),
    limit=f"{1 / MESSAGES:g} with a Celery message for the ranking and one for the package",
)
def events_per_second(bench: Bench) -> Measured:
    with both(bench) as one:
        found = bench.pairs.compare(lambda: one.runs(RUNS), lambda: one.tasks(RUNS), inverse=True)
    return Measured(found.values, note="seconds of CPU are not shown: those of the workers would be missing in them")


@row(
    "events-per-floor",
    f"the same, against as many bare tasks as the runs have messages, that make {CALLS} calls of the server for a run",
    limit="1",
)
def events_per_floor(bench: Bench) -> Measured:
    with both(bench) as one:
        found = bench.pairs.compare(
            lambda: one.runs(RUNS), lambda: one.tasks(RUNS * MESSAGES, CALLS // MESSAGES), inverse=True
        )
    return Measured(found.values)


@row(
    "idle-latency",
    "milliseconds from publishing a run of one stubbed package to its final status, less three bare tasks in turn",
    target=at_most(50, "ms more"),
)
def idle_latency(bench: Bench) -> Measured:
    with both(bench) as one:
        values: list[float] = []
        for _ in range(bench.count):
            tasks = sum(one.tasks(1).wall for _ in range(3))
            values.append(1000 * (one.runs(1).wall - tasks))
        return Measured(tuple(values))
