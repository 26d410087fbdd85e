"""What tests fetched or built once and keep between runs, outside the checkout."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path


def cache_root() -> Path:
    """Where it all lies; the environment variable ``PACKHOUSE_TEST_CACHE`` moves it."""
    told = os.environ.get("PACKHOUSE_TEST_CACHE")
    root = Path(told) if told else Path.home() / ".cache" / "packhouse-tests"
    root.mkdir(parents=True, exist_ok=True)
    return root


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """The folder of that name below the cache, filled by ``make`` the first time.

    ``make`` gets an empty folder, which takes its place only when it returns: what a failure leaves is never seen.
    Of several processes that want the same, one makes it and the others wait for it.
    """
    place = cache_root() / name
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_name(f"{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.is_dir():
            under_way = Path(tempfile.mkdtemp(prefix=".", dir=place.parent))
            try:
                make(under_way)
                under_way.chmod(0o755)
                under_way.rename(place)
            finally:
                shutil.rmtree(under_way, ignore_errors=True)
    return place
