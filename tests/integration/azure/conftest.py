"""Workers that register assets with the stand-in for Azure."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.azure import AzureStandIn
from support.farm import Farm, quick


@pytest.fixture(scope="session", autouse=True)
def sdk() -> None:
    """The SDK, imported: what its own libraries warn of then is not ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("azure.ai.ml.entities")


@pytest.fixture
def farm_of(namespace: str, tmp_path: Path, redis_url: str, azure: AzureStandIn) -> Iterator[Callable[..., Farm]]:
    """Makes a farm whose workers reach the stand-in; environment variables may be given."""
    farms: list[Farm] = []

    def make(**extra: str) -> Farm:
        settings = quick(redis_url, f"{namespace}-{len(farms)}" if farms else namespace, tmp_path)
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
