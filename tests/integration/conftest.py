"""Real worker processes for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.farm import Farm, RunMaker, quick

from packhouse.worker.ledger import Ledger, connect
from packhouse.worker.settings import Settings


@pytest.fixture
def ledger(redis_url: str, namespace: str) -> Iterator[Ledger]:
    """An empty ledger whose leases and limits are short."""
    settings = Settings(redis_url=redis_url, namespace=namespace, lease_seconds=0.5, crash_limit=3, loss_limit=5)
    redis = connect(settings.redis_url, patient=False)
    yield Ledger(redis, settings)
    redis.close()


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
