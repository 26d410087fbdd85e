"""Package indexes on loopback, and settings of workers that use them alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.nuget import NugetFeed
from support.wheel_index import WheelIndex

from packhouse.worker.settings import Settings


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[WheelIndex]:
    """An empty index that pip is configured with."""
    with WheelIndex() as served:
        served.configure(monkeypatch)
        yield served


@pytest.fixture
def feed() -> Iterator[NugetFeed]:
    """An empty NuGet feed."""
    with NugetFeed() as served:
        yield served


@pytest.fixture
def settings_of(tmp_path: Path, index: WheelIndex, feed: NugetFeed) -> Callable[..., Settings]:
    """Makes settings with a cache of the test's own."""

    def make(**given: Any) -> Settings:
        own: dict[str, Any] = {
            "cache_dir": str(tmp_path / "cache"),
            "runtime_source": "index",
            "nuget_index": feed.index,
        }
        return Settings(**{**own, **given})

    return make
