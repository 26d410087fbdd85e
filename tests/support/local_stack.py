"""``packhouse up`` as a person starts it: a process of its own."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import psutil
from redis import Redis
from support.farm import wait_for
from support.processes import alive, family, processes_in

PACKHOUSE = str(Path(sys.executable).with_name("packhouse"))


class Up:
    """A running ``packhouse up``."""

    def __init__(
        self, folder: Path, *options: str, environment: dict[str, str] | None = None, azure: bool = False
    ) -> None:
        self.data_dir = folder / "stack"
        self.errors: list[str] = []
        self._folder = folder
        self._options = options if azure else ("--no-azure", *options)
        self._environment = {**os.environ, "PACKHOUSE_SWEEP_SECONDS": "0.3", **(environment or {})}

    def start(self) -> Self:
        """Start it and wait for its line."""
        self.process = subprocess.Popen(
            [PACKHOUSE, "up", "--data-dir", str(self.data_dir), *self._options],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        self._reader = threading.Thread(target=self._read_errors, daemon=True)
        self._reader.start()
        self.line = self.process.stdout.readline().strip()
        found = re.fullmatch(r"ready redis=(\S+) flower=(\S+)", self.line)
        assert found, f"{self.line!r}, {self.said}"
        self.redis_url, self.flower_url = found.groups()
        return self

    def _read_errors(self) -> None:
        assert self.process.stderr
        self.errors.extend(self.process.stderr)

    @property
    def said(self) -> str:
        """What it wrote on standard error."""
        return "".join(self.errors)

    @property
    def family(self) -> list[psutil.Process]:
        """All of its processes, itself among them."""
        return family(self.process.pid)

    def children(self, kind: str) -> list[psutil.Process]:
        """Its own children of a kind: ``worker``, ``flower``, ``azure`` (the stand-in) or ``server``."""
        sign = {"worker": "--hostname", "flower": "flower", "azure": "packhouse.local.azure.standin"}
        found: list[psutil.Process] = []
        for child in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                command = child.cmdline()
                if any("valkey-server" in part for part in command) if kind == "server" else sign[kind] in command:
                    found.append(child)
        return found

    def redis(self) -> Redis:
        """A client of its server."""
        return Redis.from_url(self.redis_url)

    def kill(self) -> None:
        """``kill -9``, and nothing but the one process."""
        self.process.kill()
        self.process.wait(10)

    def interrupt(self) -> None:
        """What Ctrl-C in its terminal does."""
        self.process.send_signal(signal.SIGINT)

    def stop(self, seconds: float = 60) -> int:
        """Ctrl-C, and wait for the end; returns the exit status."""
        if self.process.poll() is None:
            self.interrupt()
        return self.process.wait(seconds)

    def left(self, before: Sequence[psutil.Process] = ()) -> list[str]:
        """What still runs of it."""
        return [*processes_in(self.data_dir), *(str(one) for one in alive(list(before)))]

    def all_gone(self, before: Sequence[psutil.Process], seconds: float = 10) -> None:
        """Wait until no process is left."""
        wait_for(lambda: not self.left(before), seconds=seconds, what=f"the end of {self.left(before)}")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        self._reader.join(10)
        for stream in (self.process.stdout, self.process.stderr):
            if stream:
                stream.close()


def packhouse(*arguments: str, folder: Path, redis_url: str | None = None) -> subprocess.CompletedProcess[str]:
    """One command, to its end."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PACKHOUSE_")}
    if redis_url:
        environment["PACKHOUSE_REDIS_URL"] = redis_url
    return subprocess.run(
        [PACKHOUSE, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=110, check=False
    )
