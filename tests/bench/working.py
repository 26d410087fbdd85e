"""Real workers, and what their processes take for a run."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psutil
from bench.measure import Usage, moved, settle
from bench.registry import Bench
from support.farm import Farm, RunMaker, quick
from support.server import Server

from packhouse.schemas import RunFinished
from packhouse.schemas.status import PackageResult

SAMPLES = Path(__file__).parents[1] / "data"
ENDS_WITHIN = 300.0
PLAIN: Mapping[str, object] = {"include_sample_code": False, "include_runtime_packages": False}
"""Options of a package of nothing but the candidates."""


@dataclass
class Working:
    """One worker with a process for each core that a row may use, on a server of its own."""

    farm: Farm
    make: RunMaker
    folder: Path
    _numbers: count[int] = field(default_factory=count)

    def run(self, packages: Any, models: list[Path], place: Callable[[Path], str] = str) -> RunFinished:
        """A run, never seen before, whose candidates are these models; ``place`` tells where each one lies."""
        event = self.make(f"run-{next(self._numbers)}", packages=packages, candidates=len(models))
        text = event.to_wire()
        for number, model in enumerate(models):
            text = text.replace(str(self.make.model(number)).encode(), place(model).encode())
        return RunFinished.model_validate_json(text)

    def packages(self, event: RunFinished) -> tuple[list[PackageResult], Usage]:
        """What became of a run, from publishing it to its final status, and what the worker's processes took."""
        before, began = _taken(self.farm), time.perf_counter()
        self.farm.publish(event)
        final = self.farm.wait_final(event, seconds=ENDS_WITHIN)
        wall = time.perf_counter() - began
        cpu, read, written = (now - then for now, then in zip(_taken(self.farm), before, strict=True))
        for package in final.data.packages:
            if package.state != "succeeded":
                raise RuntimeError(f"{package.name}: {package.error}")
        return final.data.packages, Usage(wall, cpu, int(read), int(written))

    def forget(self) -> None:
        """Nothing that was read or digested is known any more."""
        shutil.rmtree(self.folder / "cache", ignore_errors=True)


@dataclass
class Zipping:
    """A worker that makes the same ZIP again and again."""

    worker: Working
    models: list[Path]

    def once(self) -> Usage:
        """What it takes; the package is gone when this returns."""
        event = self.worker.run([{"type": "Zipfile", "name": "p", **PLAIN}], self.models)
        packages, usage = self.worker.packages(event)
        settle(Path(str(packages[0].path)))
        return usage


@contextlib.contextmanager
def working(bench: Bench, *, concurrency: int = 1, **extra: str) -> Generator[Working]:
    """Workers that may read and write below the row's folder; ``extra`` is environment of theirs."""
    with contextlib.ExitStack() as ends:
        server = Server(bench.folder / "redis")
        ends.callback(server.stop)
        server.start()
        farm = Farm(quick(server.url, "bench", bench.folder).model_copy(update={"lease_seconds": 60}), bench.folder)
        ends.callback(farm.close)
        farm.extra |= {"PACKHOUSE_CACHE_DIR": str(bench.folder / "cache")} | extra
        farm.start(concurrency=concurrency)
        yield Working(farm, RunMaker(bench.folder, SAMPLES), bench.folder)


def _taken(farm: Farm) -> tuple[float, int, int]:
    """Seconds of processors and bytes read and written by all processes of the workers so far."""
    cpu, read, written = 0.0, 0, 0
    for worker in farm.workers:
        for process in (psutil.Process(worker.process.pid), *worker.pool):
            times, (got, gave) = process.cpu_times(), moved(process.pid)
            cpu += times.user + times.system
            read += got
            written += gave
    return cpu, read, written
