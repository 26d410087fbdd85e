"""Workers that register assets with the stand-in for Azure."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.azure import AzureStandIn
from support.farm import Farm, RunMaker

from packhouse.worker.settings import Settings


@pytest.fixture(scope="session", autouse=True)
def sdk() -> None:
    """The SDK, imported: what its own libraries warn of then is not ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("azure.ai.ml.entities")


@pytest.fixture
def make_run(tmp_path: Path, data: Path) -> RunMaker:
    """Builds runs of real models below ``tmp_path``."""
    return RunMaker(tmp_path, data)


@pytest.fixture
def farm_of(namespace: str, tmp_path: Path, redis_url: str, azure: AzureStandIn) -> Iterator[Callable[..., Farm]]:
    """Makes a farm whose workers reach the stand-in; environment variables may be given."""
    farms: list[Farm] = []

    def make(**extra: str) -> Farm:
        settings = Settings(
            redis_url=redis_url,
            namespace=f"{namespace}-{len(farms)}" if farms else namespace,
            roots=(str(tmp_path),),
            lease_seconds=3,
            sweep_seconds=0.3,
            retry_seconds=0.1,
            soft_shutdown_seconds=3,
        )
        folder = tmp_path / f"farm-{len(farms)}"
        folder.mkdir()
        farms.append(Farm(settings, folder, extra=azure.environment | extra))
        return farms[-1]

    yield make
    for farm in farms:
        farm.close()


@pytest.fixture
def farm(farm_of: Callable[..., Farm]) -> Farm:
    """A farm of the stand-in's default workspace; it brings lost work back within a second or two."""
    return farm_of()
