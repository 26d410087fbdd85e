"""Real worker processes for the tests of this folder."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest

from packhouse.worker.ledger import Ledger, connect
from packhouse.worker.settings import Settings

T = TypeVar("T")


def wait_for(condition: Callable[[], T], *, seconds: float = 60.0, what: str = "the condition") -> T:
    """The first truthy answer of the condition; fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.02)


@dataclass
class Worker:
    """A worker process with its pool."""

    process: subprocess.Popen[bytes]
    log: Path
    name: str

    @property
    def pool(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def kill(self) -> None:
        """The whole worker at once, as a machine that loses power."""
        processes = [psutil.Process(self.process.pid), *self.pool]
        for one in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.send_signal(signal.SIGKILL)
        self.process.wait(30)

    def stop(self, seconds: float = 60) -> int:
        """SIGTERM, as an orchestrator stops it; returns the exit status."""
        self.process.terminate()
        return self.process.wait(seconds)


@dataclass
class Farm:
    """Workers of one namespace, and a ledger to look into."""

    settings: Settings
    folder: Path
    workers: list[Worker] = field(default_factory=list)
    extra: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.redis = connect(self.settings.redis_url, patient=False)
        self.ledger = Ledger(self.redis, self.settings)
        self.keys = self.ledger.keys
        self.faults = self.folder / "faults"
        self.faults.mkdir()

    def environment(self) -> dict[str, str]:
        settings = self.settings
        return os.environ | {
            "PACKHOUSE_REDIS_URL": settings.redis_url,
            "PACKHOUSE_NAMESPACE": settings.namespace,
            "PACKHOUSE_ROOTS": os.pathsep.join(settings.roots),
            "PACKHOUSE_LEASE_SECONDS": str(settings.lease_seconds),
            "PACKHOUSE_SWEEP_SECONDS": str(settings.sweep_seconds),
            "PACKHOUSE_RETRY_SECONDS": str(settings.retry_seconds),
            "PACKHOUSE_SOFT_SHUTDOWN_SECONDS": str(settings.soft_shutdown_seconds),
            "PACKHOUSE_FAULT_DIR": str(self.faults),
            "REMAP_SIGTERM": "SIGQUIT",
            **self.extra,
        }

    def start(self, count: int = 1, *, concurrency: int = 1, ready: bool = True) -> list[Worker]:
        """Start workers and wait until each has signed on."""
        fresh: list[Worker] = []
        before = len(self._beats())
        for _ in range(count):
            name = f"w{len(self.workers) + 1}@test"
            log = self.folder / f"{name}.log"
            command = [sys.executable, "-m", "celery", "-A", "packhouse.worker.app", "worker", "-P", "prefork"]
            command += ["-c", str(concurrency), "-n", name, "-l", "INFO", "--without-mingle", "--without-gossip"]
            with log.open("wb") as out:
                process = subprocess.Popen(command, stdout=out, stderr=out, env=self.environment(), cwd=self.folder)
            worker = Worker(process, log, name)
            self.workers.append(worker)
            fresh.append(worker)
        if ready:
            wait_for(lambda: len(self._beats()) >= before + count, what="the workers")
        return fresh

    def _beats(self) -> list[Any]:
        return list(self.redis.scan_iter(f"{self.keys.prefix}worker:*"))

    def hold(self, point: str) -> None:
        """Let processes that reach the fault point wait there."""
        (self.faults / point).touch()

    def let_go(self, point: str) -> None:
        (self.faults / point).unlink(missing_ok=True)

    def reached(self, point: str) -> list[int]:
        """Process ids that have reached the fault point."""
        return [int(file.name.rpartition(".")[2]) for file in self.faults.glob(f"{point}.reached.*")]

    def wait_reached(self, point: str, *, besides: tuple[int, ...] = ()) -> int:
        return wait_for(lambda: [pid for pid in self.reached(point) if pid not in besides], what=point)[0]

    def logs(self) -> str:
        return "\n".join(worker.log.read_text("utf-8", "replace") for worker in self.workers)

    def close(self) -> None:
        for file in self.faults.iterdir():
            file.unlink()
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.kill()
        self.redis.close()


@pytest.fixture
def farm(redis_url: str, namespace: str, tmp_path: Path) -> Iterator[Farm]:
    """Workers that may read and write below ``tmp_path``; lost work is brought back within a second or two."""
    settings = Settings(
        redis_url=redis_url,
        namespace=namespace,
        roots=(str(tmp_path),),
        lease_seconds=3,
        sweep_seconds=0.3,
        retry_seconds=0.1,
        soft_shutdown_seconds=3,
    )
    folder = tmp_path / "farm"
    folder.mkdir()
    farm = Farm(settings, folder)
    yield farm
    farm.close()
