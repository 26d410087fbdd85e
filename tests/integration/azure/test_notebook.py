"""What packaging notes in the ledger beside its plans, on a real server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from support.farm import wait_for
from support.ledger import NO_NODES, open_alone

from packhouse.schemas import RunRef, run_key
from packhouse.worker.identity import Identity
from packhouse.worker.ledger import Arrival, Collector, Lease, LeaseLost, Ledger, Notebook, PlannedJob, connect
from packhouse.worker.ledger.turns import alone
from packhouse.worker.settings import Settings

ME = Identity.of_worker("w1@test")
SHA = "a" * 64


@pytest.fixture
def settings(redis_url: str, namespace: str) -> Settings:
    return Settings(redis_url=redis_url, namespace=namespace, lease_seconds=0.5)


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    redis = connect(settings.redis_url, patient=False)
    yield Ledger(redis, settings)
    redis.close()


def lease_of(ledger: Ledger, run_id: str = "r", jobs: int = 1) -> Lease:
    """The lease of the last job of a new run."""
    run = RunRef(source="/s", id=run_id)
    open_alone(ledger, Arrival(run, "e", "sha256:" + "0" * 64, "{}"))
    ranking = ledger.lease(run_key(run), "rank", "t", ME)
    assert ranking is not None
    planned = [PlannedJob(str(number), "package.azureml", "{}", "t") for number in range(jobs)]
    ledger.plan(ranking, accepted="{}", **NO_NODES, state="succeeded", jobs=planned)
    lease = ledger.lease(run_key(run), str(jobs - 1), "token", ME)
    assert lease is not None
    return lease


def test_the_first_note_stays_until_it_is_named_as_no_good(ledger: Ledger, settings: Settings) -> None:
    book = Notebook(ledger, settings, lease_of(ledger))
    assert book.note("version", "1") == "1"
    assert book.note("version", "2") == "1"
    assert book.note("version", "2", instead_of="1") == "2"
    assert book.note("version", "3", instead_of="1") == "2"
    assert book.note("other", "1") == "1"


def test_notes_are_the_jobs_own_and_whoever_lost_the_lease_writes_none(ledger: Ledger, settings: Settings) -> None:
    lease = lease_of(ledger)
    Notebook(ledger, settings, lease).note("version", "1")
    assert Notebook(ledger, settings, lease_of(ledger, "r2")).note("version", "7") == "7"
    with pytest.raises(LeaseLost):
        Notebook(ledger, settings, replace(lease, token="another")).note("version", "2")


def test_a_claim_is_one_jobs_until_it_is_given_back_or_lapses(ledger: Ledger, settings: Settings) -> None:
    one, other = (Notebook(ledger, settings, lease_of(ledger, run)) for run in ("r1", "r2"))
    assert one.claim("a weight")
    assert not other.claim("a weight")
    assert other.claim("another weight")
    other.unclaim("a weight")
    assert not other.claim("a weight")
    one.unclaim("a weight")
    assert other.claim("a weight")
    wait_for(lambda: one.claim("a weight"), seconds=5, what="the claim to lapse")


def test_the_next_attempt_at_a_job_has_the_claims_of_the_one_that_was_killed(
    ledger: Ledger, settings: Settings
) -> None:
    lease = lease_of(ledger)
    assert Notebook(ledger, settings, lease).claim("a weight")
    assert Notebook(ledger, settings, replace(lease, token="next")).claim("a weight")


def test_a_turn_is_waited_for_and_passed_on(ledger: Ledger, settings: Settings) -> None:
    one, other = (Notebook(ledger, settings, lease_of(ledger, run)) for run in ("r1", "r2"))
    waited: list[int] = []
    with alone(one, "x", lambda: None) as keep:
        keep()
        assert not other.claim("x")
        with pytest.raises(InterruptedError), alone(other, "x", lambda: _stop(waited)):
            pass
    with alone(other, "x", lambda: _stop(waited)):
        assert not one.claim("x")
    assert waited == [1]


def _stop(waited: list[int]) -> None:
    waited.append(1)
    raise InterruptedError


def test_digests_are_shared_within_a_run_and_weights_within_an_account(ledger: Ledger, settings: Settings) -> None:
    lease = lease_of(ledger, "r1", jobs=2)
    one, other = Notebook(ledger, settings, lease), Notebook(ledger, settings, lease_of(ledger, "r2"))
    one.keep_digest("/models/a\0mark", SHA)
    one.keep_weight("account", SHA, "container/path")
    beside = Notebook(ledger, settings, replace(lease, job="0"))
    assert beside.digest("/models/a\0mark") == SHA
    assert beside.digest("/models/a\0later") is None
    assert other.digest("/models/a\0mark") is None
    assert other.weight("account", SHA) == "container/path"
    assert other.weight("another", SHA) is None


def test_what_is_noted_does_not_stay_for_ever(ledger: Ledger, settings: Settings) -> None:
    book = Notebook(ledger, settings, lease_of(ledger))
    before = set(ledger.redis.keys(f"{ledger.keys.prefix}*"))
    book.keep_digest("/models/a", SHA)
    book.keep_weight("account", SHA, "container/path")
    book.claim("a weight")
    book.touch("a folder")
    fresh = set(ledger.redis.keys(f"{ledger.keys.prefix}*")) - before
    assert len(fresh) == 5
    assert all(int(ledger.redis.ttl(key)) >= 0 for key in fresh)


def test_a_folder_in_use_is_not_collected_and_one_being_collected_is_not_used(
    ledger: Ledger, settings: Settings
) -> None:
    lease = lease_of(ledger)
    book, collector = Notebook(ledger, settings, lease), Collector(ledger)
    assert book.touch("a folder")
    assert not collector.take("a folder", unused=60, seconds=60)
    assert collector.take("another folder", unused=60, seconds=60)
    assert not book.touch("another folder")
    collector.give_back("another folder")
    assert book.touch("another folder")
    time.sleep(0.02)
    assert not collector.take("a folder", unused=0.01, seconds=60), "its job is open"
    ledger.settle(lease, "succeeded", "{}")
    assert not collector.take("a folder", unused=60, seconds=60), "it was used a moment ago"
    assert collector.take("a folder", unused=0.01, seconds=0.2)
    other = Notebook(ledger, settings, lease_of(ledger, "r2"))
    assert not other.touch("a folder")
    wait_for(lambda: other.touch("a folder"), seconds=5, what="the collector's time to run out")


def test_a_weight_is_forgotten_only_where_it_was_collected(ledger: Ledger, settings: Settings) -> None:
    book, collector = Notebook(ledger, settings, lease_of(ledger)), Collector(ledger)
    book.keep_weight("account", SHA, "container/new")
    collector.forget_weight("account", SHA, "container/old")
    assert book.weight("account", SHA) == "container/new"
    collector.forget_weight("account", SHA, "container/new")
    assert book.weight("account", SHA) is None
