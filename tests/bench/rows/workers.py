"""Two workers against one, and what a worker costs the server by being there."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from bench.data import int4, onnx_models
from bench.farming import Spent, finish
from bench.measure import Measured, Usage, used
from bench.registry import Bench, at_least, row
from bench.rows.events import SAMPLES
from support.farm import Farm, RunMaker, quick
from support.server import Server

from packhouse.worker.ledger import connect

IDLE_SECONDS: Final = 15.0
BUSY: Final = "import os, zlib; data = os.urandom(1 << 20); [zlib.compress(data) for _ in range(25)]"
PRODUCTION: Final = {"lease_seconds": 30.0, "sweep_seconds": 2.0}


@dataclass(frozen=True)
class Mix:
    """Runs of one kind, a ZIP each."""

    candidates: int
    mib: int
    """Of weights in each candidate, which are deflated; 0 for a model of some kilobytes."""
    runs: int
    """Published at once."""


HEAVY: Final = Mix(candidates=4, mib=8, runs=12)
LIGHT: Final = Mix(candidates=1, mib=0, runs=60)


@dataclass
class Pair:
    """A worker in one namespace and two in another, of one process for packages each; one namespace works at a time."""

    mix: Mix
    folder: Path
    farms: dict[int, Farm]
    make: RunMaker
    made: int = 0
    spent: list[Spent] = field(default_factory=list[Spent])
    """By one worker, for each run."""
    rates: dict[int, list[float]] = field(default_factory=lambda: {1: [], 2: []})
    package_bytes: float = 0.0

    def rate(self, workers: int) -> float:
        """Runs a second."""
        farm, count = self.farms[workers], self.mix.runs
        packages = {"type": "Zipfile", "name": "Models"}
        events = [
            self.make(f"{self.made + number}", candidates=self.mix.candidates, packages=[packages])
            for number in range(count)
        ]
        self.made += count
        before = Spent.so_far(farm.redis, [farm])
        wall = used(lambda: finish(farm, events)).wall
        spent = Spent.so_far(farm.redis, [farm]) - before
        if workers == 1:
            self.spent.append(spent.by(count))
        zips = list((self.folder / "out").rglob("*.zip"))
        self.package_bytes = sum(path.stat().st_size for path in zips) / count
        shutil.rmtree(self.folder / "out")
        return count / wall

    def turn(self, *, upwards: bool) -> None:
        for workers in (1, 2) if upwards else (2, 1):
            self.rates[workers].append(self.rate(workers))


@contextlib.contextmanager
def pair(bench: Bench, mix: Mix) -> Generator[tuple[Pair, dict[str, float]]]:
    """Workers, and what they and the server spend on nothing."""
    make = RunMaker(bench.folder, SAMPLES)
    if mix.mib:
        (raw := bench.folder / "raw").mkdir()
        for number, model in enumerate(onnx_models(raw, mix.candidates, mix.mib, int4)):
            place = bench.folder / "models" / f"m{number}" / "model.onnx"
            place.parent.mkdir(parents=True)
            model.rename(place)
    server = Server(bench.folder / "server")
    server.start()
    farms: dict[int, Farm] = {}
    try:
        with connect(server.url) as redis:
            alone = over_time(lambda: Spent.so_far(redis, []))
        for workers in (1, 2):
            folder = bench.folder / f"farm-{workers}"
            folder.mkdir()
            settings = quick(server.url, f"bench-{workers}", bench.folder).model_copy(update=PRODUCTION)
            farms[workers] = Farm(settings, folder, extra={"PACKHOUSE_FSYNC": "never"})
            farms[workers].start(workers)
        both = list(farms.values())
        idle = over_time(lambda: Spent.so_far(both[0].redis, both))
        count = sum(farms)
        figures = {
            "idle_server_seconds": max(0.0, idle.server - alone.server) / count,
            "idle_requests": (idle.requests - alone.requests) / count,
            "idle_main_seconds": idle.mains / count,
        }
        yield Pair(mix, bench.folder, farms, make), figures
    finally:
        for farm in farms.values():
            farm.close()
        server.stop()


def over_time(spent: Callable[[], Spent]) -> Spent:
    """Of a second in which nothing happens."""
    time.sleep(2)
    before, began = spent(), time.perf_counter()
    time.sleep(IDLE_SECONDS)
    return (spent() - before).by(time.perf_counter() - began)


def machine() -> tuple[float, float]:
    """What other work leaves of a processor to one process that only computes, and how much more two get done."""

    def busy(count: int) -> Usage:
        def work() -> None:
            for process in [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]:
                process.wait()

        return used(work)

    one, two = busy(1), busy(2)
    return min(1.0, one.cpu / one.wall), 2 * one.wall / two.wall


def bytes_per_second(folder: Path) -> float:
    """Written to a new file, until it is on the disk."""
    block, count = os.urandom(1 << 20), 128
    began = time.perf_counter()
    with (folder / "written").open("wb") as file:
        for _ in range(count):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    seconds = time.perf_counter() - began
    (folder / "written").unlink()
    return count * len(block) / seconds


def two_against_one(bench: Bench, mix: Mix) -> Measured:
    with pair(bench, mix) as (one, figures):
        one.turn(upwards=True)
        one.spent.clear()
        one.rates = {1: [], 2: []}
        machines: list[tuple[float, float]] = []
        disk: list[float] = []
        for number in range(bench.count):
            machines.append(machine())
            one.turn(upwards=number % 2 == 0)
            disk.append(bytes_per_second(bench.folder))
        figures |= {
            "runs": mix.runs,
            "runs_per_second_1": median(one.rates[1]),
            "runs_per_second_2": median(one.rates[2]),
            "server_seconds_per_run": median(spent.server for spent in one.spent),
            "requests_per_run": median(spent.requests for spent in one.spent),
            "main_seconds_per_run": median(spent.mains for spent in one.spent),
            "pool_seconds_per_run": median(spent.pools for spent in one.spent),
            "package_bytes": one.package_bytes,
            "disk_bytes_per_second": median(disk),
            "processor_share": median(share for share, _ in machines),
            "side_by_side": median(both for _, both in machines),
            "processors": float(os.cpu_count() or 1),
        }
    values = tuple(two / alone for alone, two in zip(one.rates[1], one.rates[2], strict=True))
    note = (
        f"{figures['runs_per_second_1']:.3g} and {figures['runs_per_second_2']:.3g} runs a second; two bare processes "
        f"get {figures['side_by_side']:.3g} times as much done here as one"
    )
    return Measured(values, note=note, figures=figures)


@row(
    "two-workers",
    f"{HEAVY.runs} runs of four candidates of {HEAVY.mib} MiB, deflated: two workers against one",
    target=at_least(1.8, "times"),
    limit="2",
)
def heavy(bench: Bench) -> Measured:
    return two_against_one(bench, HEAVY)


@row("two-workers-light", f"{LIGHT.runs} runs of one small model: two workers against one", limit="2")
def light(bench: Bench) -> Measured:
    return two_against_one(bench, LIGHT)
