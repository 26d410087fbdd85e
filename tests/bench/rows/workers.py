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
from bench.growing import Growth, grown
from bench.measure import Measured, used
from bench.registry import Bench, at_least, row
from bench.rows.events import SAMPLES
from redis.connection import Connection
from support.farm import Farm, RunMaker, quick
from support.server import Server

from packhouse.worker.intake.reader import GROUP
from packhouse.worker.ledger import connect

READERS: Final = (1, 10, 100, 1_000)
EVENTS: Final = 50
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
        before = Spent.by(farm.redis, [farm])
        wall = used(lambda: finish(farm, events)).wall
        spent = Spent.by(farm.redis, [farm]) - before
        if workers == 1:
            self.spent.append(Spent(spent.server / count, spent.mains / count, spent.pools / count))
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
            alone = over_time(lambda: Spent.by(redis, []))
        for workers in (1, 2):
            folder = bench.folder / f"farm-{workers}"
            folder.mkdir()
            settings = quick(server.url, f"bench-{workers}", bench.folder).model_copy(update=PRODUCTION)
            farms[workers] = Farm(settings, folder, extra={"PACKHOUSE_FSYNC": "never"})
            farms[workers].start(workers)
        both = list(farms.values())
        idle = over_time(lambda: Spent.by(both[0].redis, both))
        count = sum(farms)
        figures = {
            "idle_server_seconds": max(0.0, idle.server - alone.server) / count,
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
    used, seconds = spent() - before, time.perf_counter() - began
    return Spent(used.server / seconds, used.mains / seconds, used.pools / seconds)


def side_by_side() -> float:
    """How many times as much two processes that only compute get done as one does."""

    def seconds(count: int) -> float:
        began = time.perf_counter()
        for process in [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]:
            process.wait()
        return time.perf_counter() - began

    return 2 * seconds(1) / seconds(2)


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
        machine: list[float] = []
        disk: list[float] = []
        for number in range(bench.count):
            machine.append(side_by_side())
            one.turn(upwards=number % 2 == 0)
            disk.append(bytes_per_second(bench.folder))
        figures |= {
            "runs": mix.runs,
            "runs_per_second_1": median(one.rates[1]),
            "runs_per_second_2": median(one.rates[2]),
            "server_seconds_per_run": median(spent.server for spent in one.spent),
            "main_seconds_per_run": median(spent.mains for spent in one.spent),
            "pool_seconds_per_run": median(spent.pools for spent in one.spent),
            "package_bytes": one.package_bytes,
            "disk_bytes_per_second": median(disk),
            "side_by_side": median(machine),
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


@row("grow-readers", "the server's CPU for publishing an event, with 1 to 1,000 workers that wait for one", limit="1")
def readers(bench: Bench) -> Measured:
    server = Server(bench.folder)
    server.start()
    waiting: list[Connection] = []

    def wait(connection: Connection) -> None:
        connection.send_command("XREADGROUP", "GROUP", GROUP, id(connection), "BLOCK", 0, "STREAMS", "runs", ">")

    try:
        with connect(server.url) as redis:
            redis.xgroup_create("runs", GROUP, id="0", mkstream=True)

            def cost(count: int) -> float:
                """Microseconds for each event; whoever got it waits again."""
                while len(waiting) > count:
                    waiting.pop().disconnect()
                while len(waiting) < count:
                    waiting.append(connection := Connection(port=server.port))
                    connection.connect()
                    wait(connection)
                time.sleep(0.2)
                before = Spent.by(redis, [])
                for _ in range(EVENTS):
                    redis.xadd("runs", {"event": "x" * 1000})
                    for connection in waiting:
                        if connection.can_read(0):
                            connection.read_response()
                            wait(connection)
                            break
                return (Spent.by(redis, []) - before).server / EVENTS * 1e6

            growth = grown(READERS, bench.count, "microseconds", cost)
    finally:
        for connection in waiting:
            connection.disconnect()
        server.stop()
    costs = growth.medians
    slope = (costs[-1] - costs[0]) / (READERS[-1] - READERS[0])
    return Growth(growth.sizes, growth.turns, growth.unit, {"server_us_per_reader": slope}).flat()
