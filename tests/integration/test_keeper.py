"""A lease is kept while the work moves, and lost when it does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.farm import wait_for
from support.ledger import open_alone
from support.server import Server

from packhouse.schemas import STATUS_EVENT, PackagingType, RunRef, run_key
from packhouse.schemas.status import PackageProgressEvent, PackageRef
from packhouse.worker.identity import Identity
from packhouse.worker.keeper import LeaseKeeper
from packhouse.worker.ledger import Arrival, Lease, LeaseLost, Ledger, connect
from packhouse.worker.settings import Settings

RUN = RunRef(source="/farm", id="r")
PACKAGE = PackageRef(type=PackagingType.ZIPFILE, name="P")
ME = Identity.of_worker("w@test")


@pytest.fixture
def settings(redis_url: str, namespace: str) -> Settings:
    return Settings(redis_url=redis_url, namespace=namespace, lease_seconds=0.5, stage_seconds=1)


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    redis = connect(settings.redis_url, patient=False)
    yield Ledger(redis, settings)
    redis.close()


@pytest.fixture
def lease(ledger: Ledger) -> Lease:
    open_alone(ledger, Arrival(RUN, "e", "sha256:" + "0" * 64, "{}"))
    taken = ledger.lease(run_key(RUN), "rank", "token", ME)
    assert taken is not None
    return taken


def test_work_that_moves_keeps_its_lease_beyond_its_time(ledger: Ledger, lease: Lease, settings: Settings) -> None:
    with LeaseKeeper(ledger, lease, settings, RUN, PACKAGE) as keeper:
        keeper.stage("writing", 100)
        first = expiry(ledger, lease)
        wait_for(lambda: keeper.advance(1) or expiry(ledger, lease) > first + 1000, seconds=20)
        keeper.confirm()
    assert ledger.sweep([], expired=True).due == []


def test_work_that_hangs_loses_its_lease(ledger: Ledger, lease: Lease, settings: Settings) -> None:
    with LeaseKeeper(ledger, lease, settings, RUN, PACKAGE) as keeper:
        wait_for(lambda: ledger.sweep([], expired=True).due, seconds=20, what="the lease to lapse")
        with pytest.raises(LeaseLost):
            keeper.confirm()
        with pytest.raises(LeaseLost):
            keeper.advance(1)


def test_progress_is_told_on_a_stream_of_its_own(ledger: Ledger, lease: Lease, settings: Settings) -> None:
    with LeaseKeeper(ledger, lease, settings, RUN, PACKAGE) as keeper:
        keeper.stage("writing", 100)
        keeper.advance(40)
        wait_for(lambda: ledger.redis.xlen(ledger.keys.progress), what="a progress event")
        keeper.advance(60)
    entries = ledger.redis.xrevrange(ledger.keys.progress, count=1)
    assert entries
    event = STATUS_EVENT.validate_json(str(dict(entries[0][1] or {})["event"]))
    assert isinstance(event, PackageProgressEvent)
    assert (event.data.stage, event.data.bytes_done, event.data.bytes_total) == ("writing", 100, 100)
    assert ledger.redis.xlen(ledger.keys.status) == 0


def test_a_server_without_memory_for_events_keeps_the_lease_of_work_that_moves(
    own_server: Server, namespace: str
) -> None:
    settings = Settings(redis_url=own_server.url, namespace=namespace, lease_seconds=1)
    with connect(settings.redis_url, patient=False) as redis:
        ledger = Ledger(redis, settings)
        open_alone(ledger, Arrival(RUN, "e", "sha256:" + "0" * 64, "{}"))
        lease = ledger.lease(run_key(RUN), "rank", "token", ME)
        assert lease is not None
        redis.config_set("maxmemory", "1")
        with LeaseKeeper(ledger, lease, settings, RUN, PACKAGE) as keeper:
            first = expiry(ledger, lease)
            wait_for(lambda: keeper.advance(1) or expiry(ledger, lease) > first + 1500, what="the lease to be renewed")


def expiry(ledger: Ledger, lease: Lease) -> int:
    return int(str(ledger.redis.hget(f"{ledger.keys.prefix}job:{lease.run}:{lease.job}", "expires")))
