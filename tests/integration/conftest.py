"""A ledger for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from packhouse.worker.ledger import Ledger, connect
from packhouse.worker.settings import Settings


@pytest.fixture
def ledger(redis_url: str, namespace: str) -> Iterator[Ledger]:
    """An empty ledger whose leases and limits are short."""
    settings = Settings(redis_url=redis_url, namespace=namespace, lease_seconds=0.5, crash_limit=3, loss_limit=5)
    redis = connect(settings.redis_url, patient=False)
    yield Ledger(redis, settings)
    redis.close()
