"""A worker from its start until it has done what was waiting for it, against a bare Celery worker."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil
from bench.measure import Measured, Usage, by_cpu
from bench.registry import Bench, row
from bench.rows.events import POOL, SAMPLES, Both, Sides
from support.farm import RunMaker
from support.server import Server

from packhouse.producers import publish


def taken_up(pid: int, began: float, done: Callable[[], object]) -> Usage:
    """What a worker and its pool took until the first work was done."""
    done()
    wall, main = time.perf_counter() - began, psutil.Process(pid)
    times = [one.cpu_times() for one in (main, *main.children(recursive=True))]
    return Usage(wall, sum(one.user + one.system for one in times))


@row(
    "worker-start",
    "CPU from a worker's start to the end of the run that waited, against a bare worker and a task",
)
def worker_start(bench: Bench) -> Measured:
    server = Server(bench.folder)
    server.start()
    sides = Sides(bench, server)
    farm, make = sides.farm(), RunMaker(bench.folder, SAMPLES)
    one = Both(farm, make, sides.sender())

    def ours() -> Usage:
        one.made += 1
        event = make(f"run-{one.made}")
        publish(event, farm.redis, namespace=farm.settings.namespace, durable_timeout=0)
        began = time.perf_counter()
        (worker,) = farm.start(concurrency=POOL, ready=False)
        try:
            return taken_up(worker.process.pid, began, lambda: farm.wait_final(event))
        finally:
            worker.stop()

    def theirs() -> Usage:
        began = time.perf_counter()
        bare = sides.bare()
        try:
            return taken_up(bare.pid, began, lambda: one.tasks(1))
        finally:
            bare.terminate()
            bare.wait(60)

    try:
        return bench.pairs.compare(ours, theirs, of=by_cpu)
    finally:
        farm.close()
        server.stop()
