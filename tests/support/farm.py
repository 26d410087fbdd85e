"""Real worker processes on a real server, and runs for them to package."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import psutil
from redis import Redis

from packhouse.schemas import STATUS_EVENT, CompletedEvent, FinishedRun, RejectedEvent, RunFinished
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


def quick(url: str, namespace: str, root: Path) -> Settings:
    """Settings of workers that may read and write below a folder and bring lost work back within a second or two."""
    return Settings(
        redis_url=url,
        namespace=namespace,
        roots=(str(root),),
        lease_seconds=3,
        sweep_seconds=0.3,
        retry_seconds=0.1,
        soft_shutdown_seconds=3,
        runtime_source="off",
        check_models="off",
    )


@dataclass
class Worker:
    """A worker process with its pool."""

    process: subprocess.Popen[bytes]
    log: Path
    name: str
    wrapped: bool = False
    """Whether ``process`` only waits for the worker, which it has entered namespaces for."""
    told_to_end: bool = False

    @property
    def main(self) -> psutil.Process:
        """The worker's main process."""
        process = psutil.Process(self.process.pid)
        return process.children()[0] if self.wrapped else process

    @property
    def runs(self) -> bool:
        return self.process.poll() is None

    @property
    def pool(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def kill(self) -> None:
        """The whole worker at once, as a machine that loses power."""
        self.told_to_end = True
        processes = [psutil.Process(self.process.pid), *self.pool]
        for one in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.send_signal(signal.SIGKILL)
        self.process.wait(30)

    def stop(self, seconds: float = 60) -> int:
        """SIGTERM, as an orchestrator stops it; returns the exit status."""
        self.terminate()
        return self.process.wait(seconds)

    def terminate(self) -> None:
        """SIGTERM, not waited for."""
        self.told_to_end = True
        self.main.terminate()


@dataclass
class Farm:
    """Workers of one namespace, and a ledger to look into."""

    settings: Settings
    folder: Path
    workers: list[Worker] = field(default_factory=list)
    extra: dict[str, str] = field(default_factory=dict)
    """Environment of the workers over what follows from the settings."""
    prefix: list[str] = field(default_factory=list)
    """Words before the command of every worker, to run it under something."""
    app: str = "packhouse.worker.app"
    """Module of the Celery application."""
    site: str = "test"
    """Second part of the workers' names."""
    wrapped: bool = False
    """Whether the prefix stays in front of a worker as a process of its own."""
    client: Redis | None = None
    """Instead of one for the settings' address, where that is not the test's way to the server."""

    def __post_init__(self) -> None:
        self.redis = self.client or connect(self.settings.redis_url, patient=False)
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
            "PACKHOUSE_RUNTIME_SOURCE": settings.runtime_source,
            "PACKHOUSE_CHECK_MODELS": settings.check_models,
            "PACKHOUSE_FAULT_DIR": str(self.faults),
            "PACKHOUSE_LOG_FORMAT": "text",
            **self.extra,
        }

    def start(self, count: int = 1, *, concurrency: int = 1, ready: bool = True) -> list[Worker]:
        """Start workers and wait until each has signed on."""
        fresh: list[Worker] = []
        for _ in range(count):
            name = f"w{len(self.workers) + 1}@{self.site}"
            log = self.folder / f"{name}.log"
            command = [
                *self.prefix,
                sys.executable,
                "-m",
                "celery",
                "-A",
                self.app,
                "worker",
                "-P",
                "prefork",
            ]
            command += ["-c", str(concurrency), "-n", name, "-l", "INFO", "--without-mingle", "--without-gossip"]
            with log.open("wb") as out:
                process = subprocess.Popen(command, stdout=out, stderr=out, env=self.environment(), cwd=self.folder)
            worker = Worker(process, log, name, wrapped=self.wrapped)
            self.workers.append(worker)
            fresh.append(worker)
        if ready:
            names = {worker.name for worker in fresh}
            wait_for(lambda: names <= self.signed_on(), what="the workers")
        return fresh

    def signed_on(self) -> set[str]:
        """Names of the workers that have been heard of lately."""
        return {str(self.redis.get(key)) for key in self.redis.scan_iter(f"{self.keys.prefix}worker:*")}

    def hold(self, point: str) -> None:
        """Let processes that reach the fault point wait there."""
        (self.faults / point).touch()

    def publish_held(self, event: RunFinished, point: str) -> int:
        """Publish a run and wait until a process has reached the fault point for it; returns its id."""
        self.hold(point)
        self.publish(event)
        return self.wait_reached(point)

    def let_go(self, point: str) -> None:
        (self.faults / point).unlink(missing_ok=True)

    def reached(self, point: str) -> list[int]:
        """Process ids that have reached the fault point."""
        return [int(file.name.rpartition(".")[2]) for file in self.faults.glob(f"{point}.reached.*")]

    def wait_reached(self, point: str, *, besides: tuple[int, ...] = ()) -> int:
        return wait_for(
            lambda: [pid for pid in self.reached(point) if pid not in besides], what=f"{point}\n{self.logs()[-4000:]}"
        )[0]

    def logs(self) -> str:
        return "\n".join(worker.log.read_text("utf-8", "replace") for worker in self.workers)

    def close(self) -> None:
        for file in self.faults.glob("*"):
            file.unlink(missing_ok=True)
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.kill()
        self.redis.close()

    def wait_sweeps(self, count: int) -> None:
        """Wait for so many rounds of recovery; each takes the sweep's key anew."""
        key = f"{self.keys.prefix}sweep"
        for _ in range(count):
            wait_for(lambda: not self.redis.exists(key), what="the sweep's key to lapse")
            wait_for(lambda: self.redis.exists(key), what="a sweep")

    def finals(self) -> list[CompletedEvent | RejectedEvent]:
        """Every final event on the status queue, doubled ones doubly."""
        events = [STATUS_EVENT.validate_json(text) for text in self.stream(self.keys.status)]
        return [event for event in events if isinstance(event, CompletedEvent | RejectedEvent)]

    def stream(self, key: str) -> list[str]:
        entries = cast("list[tuple[str, dict[str, str]]]", self.redis.xrange(key))
        return [fields["event"] for _, fields in entries]

    def publish(self, event: RunFinished | bytes) -> None:
        self.redis.xadd(self.keys.run_queue, {"event": event if isinstance(event, bytes) else event.to_wire()})

    def wait_final(self, event: RunFinished, *, seconds: float = 60) -> CompletedEvent:
        """The final event of a run that was understood."""
        final = self.wait_end(event, seconds=seconds)
        assert isinstance(final, CompletedEvent), final
        return final

    def wait_end(self, event: RunFinished, *, seconds: float = 60) -> CompletedEvent | RejectedEvent:
        """The final event of a run."""
        key = self.keys.final(event.run)
        text = wait_for(lambda: self.redis.get(key), seconds=seconds, what=f"the final event\n{self.logs()[-4000:]}")
        final = STATUS_EVENT.validate_json(str(text))
        assert isinstance(final, CompletedEvent | RejectedEvent), final
        return final


class RunMaker:
    """Builds runs of real models below a folder: ``make("r1", packages=…, candidates=…)``."""

    def __init__(self, folder: Path, samples: Path) -> None:
        self.folder = folder
        self._models = sorted((samples / "olive-0.6.2-cpu-and-openvino" / "cache").rglob("*.onnx"))

    def __call__(
        self,
        run_id: str = "run-1",
        *,
        packages: Any = None,
        candidates: int = 2,
        models: Sequence[int] | None = None,
        out: str | None = None,
        **more: Any,
    ) -> RunFinished:
        fields: dict[str, Any] = {
            "engine": {"name": "olive", "version": "0.6.2"},
            "output_dir": out or str(self.folder / "out" / run_id),
            "packaging_config": {"type": "Zipfile"} if packages is None else packages,
            "footprints": [
                {
                    "accelerator": "cpu-cpu",
                    "nodes": [{"model_id": "input"}, *map(self._node, models or range(candidates))],
                }
            ],
        }
        return RunFinished.of(FinishedRun.model_validate(fields | more), source="/test/engine", run_id=run_id)

    def model(self, number: int) -> Path:
        """The model of a number, which is made where it is missing."""
        path = self.folder / "models" / f"m{number}" / "model.onnx"
        if not path.exists():
            path.parent.mkdir(parents=True)
            path.write_bytes(self._models[number % len(self._models)].read_bytes())
        return path

    def _node(self, number: int) -> dict[str, Any]:
        path = self.model(number)
        return {
            "model_id": f"m{number}",
            "parent_model_id": "input",
            "from_pass": "Quantization",
            "pass_run_config": {"script": str(self.folder / "script.py")},
            "model": {"type": "ONNXModel", "config": {"model_path": str(path), "inference_settings": None}},
            "metrics": {"accuracy": {"value": 0.9 - number / 100, "priority": 1, "higher_is_better": True}},
            "is_output": True,
        }
