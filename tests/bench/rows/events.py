"""Runs that ask for no package, from publishing to the final status, against bare Celery tasks on the same server."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from bench.measure import Measured, Usage, used
from bench.registry import Bench, at_least, at_most, row
from celery import Celery
from support.farm import Farm, RunMaker, quick
from support.server import Server

SAMPLES = Path(__file__).parents[2] / "data"
CHILDREN = Path(__file__).parents[1] / "children"
RUNS = 200
POOL = 2


@dataclass
class Both:
    """A worker of ours and a bare one, each with as large a pool; while one works the other waits."""

    farm: Farm
    make: RunMaker
    sender: Celery
    made: int = 0

    def runs(self, count: int) -> Usage:
        """Publish runs and wait for all their final statuses; building the events is not counted."""
        events = [self.make(f"run-{self.made + number}", packages=[]) for number in range(count)]
        self.made += count
        status = self.farm.keys.status
        before = str(cast("list[tuple[str, Any]]", self.farm.redis.xrevrange(status, count=1) or [("0-0", {})])[0][0])

        def work() -> None:
            for event in events:
                self.farm.publish(event)
            ended, last = 0, before
            while ended < count:
                answer = cast("list[Any]", self.farm.redis.xread({status: last}, block=60_000))
                if not answer:
                    raise RuntimeError(f"{ended} of {count} runs ended\n{self.farm.logs()[-4000:]}")
                entries = cast("list[tuple[str, dict[str, str]]]", answer[0][1])
                ended += sum('"packhouse.packaging.completed"' in fields["event"] for _, fields in entries)
                last = entries[-1][0]

        return used(work)

    def tasks(self, count: int) -> Usage:
        """Send tasks that do nothing and wait for the last of them."""

        def work() -> None:
            for _ in range(count - 1):
                self.sender.send_task("noop")
            self.sender.send_task("noop", ["bench-told"])
            if not self.farm.redis.blpop(["bench-told"], 60):
                raise RuntimeError("the last task did not come")

        return used(work)


@contextlib.contextmanager
def both(bench: Bench) -> Generator[Both]:
    server = Server(bench.folder)
    server.start()
    sender = Celery(broker=server.url)
    sender.conf.update(task_default_queue="bench-noop", task_ignore_result=True)
    farm = Farm(quick(server.url, "bench", bench.folder), bench.folder)
    command = [sys.executable, "-m", "celery", "-A", "noop", "worker", "-P", "prefork", "-c", str(POOL)]
    with (bench.folder / "noop.log").open("wb") as log:
        command += ["--without-mingle", "--without-gossip"]
        environment = os.environ | {"BENCH_REDIS_URL": server.url}
        bare = subprocess.Popen(command, cwd=CHILDREN, stdout=log, stderr=log, env=environment)
    try:
        farm.start(concurrency=POOL)
        one = Both(farm, RunMaker(bench.folder, SAMPLES), sender)
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
    f"{RUNS} runs without packages to their final status, events per second, against as many bare tasks",
    target=at_least(0.5, "times the tasks"),
    limit="1",
)
def events_per_second(bench: Bench) -> Measured:
    with both(bench) as one:
        found = bench.pairs.compare(lambda: one.runs(RUNS), lambda: one.tasks(RUNS), inverse=True)
    return Measured(
        found.values, note="what the workers' processes take is not counted, so no seconds of CPU are shown"
    )


@row(
    "idle-latency",
    "milliseconds from publishing a run without packages to its final status, less three bare tasks in turn",
    target=at_most(50, "ms more"),
)
def idle_latency(bench: Bench) -> Measured:
    with both(bench) as one:
        values: list[float] = []
        for _ in range(bench.count):
            tasks = sum(one.tasks(1).wall for _ in range(3))
            values.append(1000 * (one.runs(1).wall - tasks))
        return Measured(tuple(values))
