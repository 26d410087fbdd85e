"""What tests of every kind share: a real server, a namespace and workers of one's own on it, a stand-in for Azure."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from redis import Redis
from support.azure import AzureStandIn
from support.commands import Command, command_for
from support.farm import Farm, RunMaker, quick
from support.server import Server, free_port

from packhouse.local.azure import azurite

# How long a machine takes to make inputs is not what a property test is about.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

# Tests that want runtime packages say where from: the others fetch nothing.
os.environ.setdefault("PACKHOUSE_RUNTIME_SOURCE", "off")

FULL_WITHIN = 1200
"""Seconds for a test of ``make test-full``: the first time it may have an environment of gigabytes to install."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("full") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(FULL_WITHIN))


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


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder with the real Olive runs."""
    return Path(__file__).parent / "data"


@pytest.fixture
def make_run(tmp_path: Path, data: Path) -> RunMaker:
    """Builds runs of real models below ``tmp_path``."""
    return RunMaker(tmp_path, data)


@pytest.fixture
def farm_on(namespace: str, tmp_path: Path) -> Iterator[Callable[..., Farm]]:
    """Makes a farm on the server of a URL, with settings over the quick ones.

    Its workers may read and write below ``tmp_path``.
    """
    farms: list[Farm] = []

    def make(url: str, **settings: Any) -> Farm:
        folder = tmp_path / f"farm-{len(farms)}"
        folder.mkdir()
        farms.append(Farm(quick(url, namespace, tmp_path).model_copy(update=settings), folder))
        return farms[-1]

    yield make
    for farm in farms:
        farm.close()


@pytest.fixture
def farm(farm_on: Callable[..., Farm], redis_url: str) -> Farm:
    """A farm on the shared server; it brings lost work back within a second or two."""
    return farm_on(redis_url)


@pytest.fixture
def command(farm: Farm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """``packhouse …`` with the settings of the farm's workers."""
    return command_for(farm.environment(), monkeypatch, capsys)


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
