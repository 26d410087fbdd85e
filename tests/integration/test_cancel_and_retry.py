"""Cancelling and packaging again, in the ledger: every order of steps ends in one final event for each round."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from typing import cast

import pytest
from support.ledger import (
    DIGEST,
    ME,
    NO_NODES,
    RUN,
    RUN_KEY,
    WHY,
    arrive,
    events,
    final,
    lease,
    open_run,
    planned,
    result,
)

from packhouse.schemas import STATUS_EVENT
from packhouse.schemas.status import CompletedEvent, ReopenedEvent
from packhouse.worker.ledger import Cancelled, Lease, LeaseLost, Ledger
from packhouse.worker.packagers.registry import QUEUES
from packhouse.worker.settings import Settings


def codes(ledger: Ledger) -> list[str | None]:
    """The error code of each package of the final event."""
    return [package.error and package.error.code for package in final(ledger).data.packages]


def settle(ledger: Ledger, job: str, outcome: str, token: str = "t") -> None:
    ledger.settle(lease(ledger, job, token), outcome, result(f"P{job}", outcome))


def failed_and_good(ledger: Ledger) -> None:
    """A run of two packages of which the first failed."""
    planned(ledger)
    settle(ledger, "0", "failed")
    settle(ledger, "1", "succeeded")


def wake_all(ledger: Ledger) -> list[str]:
    return [wake.job for wake in ledger.sweep(QUEUES, expired=False).due]


def test_cancelling_ends_what_waits_and_what_is_delayed_at_once(ledger: Ledger) -> None:
    planned(ledger)
    ledger.release(lease(ledger, "1", "t"), 60, WHY)
    assert ledger.cancel(RUN_KEY) == Cancelled("cancelled", ended=2)
    assert final(ledger).data.state == "failed"
    assert codes(ledger) == ["cancelled", "cancelled"]
    assert ledger.redis.xlen(f"{ledger.keys.prefix}open:package.zipfile") == 0
    assert wake_all(ledger) == []


def test_cancelling_takes_the_lease_of_what_is_at_work(ledger: Ledger) -> None:
    planned(ledger, 1)
    held = lease(ledger, "0", "t")
    ledger.freeze(held, "{}", "place")
    ledger.cancel(RUN_KEY)
    assert not ledger.renew(held)
    with pytest.raises(LeaseLost):
        ledger.settle(held, "succeeded", result("P0", "succeeded"))
    assert codes(ledger) == ["cancelled"]
    assert not ledger.redis.exists(f"{ledger.keys.prefix}destination:place")


def test_cancelling_leaves_packages_that_are_done_as_they_are(ledger: Ledger) -> None:
    planned(ledger)
    settle(ledger, "0", "succeeded")
    ledger.cancel(RUN_KEY)
    assert final(ledger).data.state == "partly_succeeded"
    assert codes(ledger) == [None, "cancelled"]


def test_cancelling_comes_too_late_for_a_package_that_is_being_published(ledger: Ledger) -> None:
    planned(ledger)
    held = lease(ledger, "0", "t")
    assert ledger.renew(held, publishing=True)
    assert ledger.cancel(RUN_KEY) == Cancelled("cancelled", ended=1, publishing=1)
    assert ledger.cancel(RUN_KEY) == Cancelled("cancelled", ended=0, publishing=1)
    ledger.settle(held, "succeeded", result("P0", "succeeded"))
    assert codes(ledger) == [None, "cancelled"]
    assert ledger.cancel(RUN_KEY) == Cancelled("over")


@pytest.mark.parametrize("end", ["crash", "loss", "handback", "release"])
def test_an_attempt_of_a_cancelled_run_that_ends_while_publishing_has_no_successor(ledger: Ledger, end: str) -> None:
    planned(ledger, 1)
    held = lease(ledger, "0", "t")
    ledger.renew(held, publishing=True)
    ledger.cancel(RUN_KEY)
    if end == "release":
        ledger.release(held, 60, WHY)
    else:
        assert ledger.lose(ledger.held_at(ME.place)[0], end) == []
    assert codes(ledger) == ["cancelled"]


def test_a_run_is_cancelled_before_it_is_ranked_and_ranked_when_it_is_asked_for_again(ledger: Ledger) -> None:
    open_run(ledger)
    held = lease(ledger, "rank", "r")
    ledger.cancel(RUN_KEY)
    with pytest.raises(LeaseLost):
        ledger.plan(held, accepted="{}", **NO_NODES, state="succeeded", jobs=[])
    done = final(ledger)
    assert (done.data.state, done.data.error and done.data.error.code) == ("failed", "cancelled")
    assert ledger.reopen(RUN_KEY).packages == ()
    assert wake_all(ledger) == ["rank"]
    ledger.plan(
        lease(ledger, "rank", "r2"),
        accepted=json.dumps({"content_digest": DIGEST, "packages": [], "ranking": {}}),
        **NO_NODES,
        state="succeeded",
        jobs=[],
    )
    assert (final(ledger).data.state, final(ledger).data.round) == ("succeeded", 2)


def test_what_is_not_there_or_over_is_told_and_changes_nothing(ledger: Ledger) -> None:
    assert ledger.cancel("f" * 32) == Cancelled("unknown")
    assert ledger.reopen("f" * 32).outcome == "unknown"
    planned(ledger, 1)
    assert ledger.reopen(RUN_KEY).outcome == "open"
    settle(ledger, "0", "succeeded")
    assert ledger.cancel(RUN_KEY) == Cancelled("over")
    assert ledger.reopen(RUN_KEY).outcome == "succeeded"
    assert events(ledger).count("packhouse.packaging.completed") == 1


def test_failed_packages_are_made_again_in_a_round_with_a_final_event_of_its_own(ledger: Ledger) -> None:
    failed_and_good(ledger)
    first = final(ledger)
    reopened = ledger.reopen(RUN_KEY)
    assert (reopened.outcome, reopened.round, [one.name for one in reopened.packages]) == ("reopened", 2, ["P0"])
    marker = STATUS_EVENT.validate_json(str(ledger.redis.get(ledger.keys.final(RUN))))
    assert isinstance(marker, ReopenedEvent)
    assert ledger.reopen(RUN_KEY).outcome == "open", "asked for twice, it happens once"
    assert ledger.redis.ttl(f"{ledger.keys.prefix}run:{RUN_KEY}") == -1, "the record must not expire under the work"
    assert wake_all(ledger) == ["0"]
    again = lease(ledger, "0", "t2")
    assert (again.attempt, again.tries, again.plan) == (2, 0, None)
    ledger.settle(again, "succeeded", result("P0", "succeeded"))
    second = final(ledger)
    assert (first.data.round, second.data.round, second.data.state) == (1, 2, "succeeded")
    assert first.id != second.id
    assert [package.name for package in second.data.packages] == ["P0", "P1"]
    assert second.data.timings.reopened_at
    assert ledger.redis.ttl(f"{ledger.keys.prefix}run:{RUN_KEY}") > 0


def test_one_package_is_asked_for_by_its_name(ledger: Ledger) -> None:
    planned(ledger, 3)
    for job, outcome in (("0", "failed"), ("1", "failed"), ("2", "succeeded")):
        settle(ledger, job, outcome)
    assert (ledger.reopen(RUN_KEY, ["P2"]).outcome, ledger.reopen(RUN_KEY, ["P2"]).name) == ("none", "P2")
    assert [one.name for one in ledger.reopen(RUN_KEY, ["P1"]).packages] == ["P1"]
    wake_all(ledger)
    settle(ledger, "1", "succeeded", "t2")
    assert final(ledger).data.state == "partly_succeeded"
    assert [package.state for package in final(ledger).data.packages] == ["failed", "succeeded", "succeeded"]


def test_a_result_of_the_round_before_is_not_taken_for_one_of_this(ledger: Ledger) -> None:
    planned(ledger, 1)
    held = lease(ledger, "0", "t")
    ledger.settle(held, "failed", result("P0", "failed"))
    ledger.reopen(RUN_KEY)
    for _ in range(2):
        with pytest.raises(LeaseLost):
            ledger.settle(held, "failed", result("P0", "failed"))
        wake_all(ledger)
        lease(ledger, "0", "t2")


def test_a_run_that_is_made_again_is_still_a_duplicate_of_itself(ledger: Ledger) -> None:
    failed_and_good(ledger)
    ledger.reopen(RUN_KEY)
    assert arrive(ledger).outcome == "duplicate"


def test_how_much_failed_runs_keep_is_bounded_and_the_oldest_cannot_be_made_again(ledger: Ledger) -> None:
    failed_and_good(ledger)
    small = Ledger(ledger.redis, _settings(ledger, failed_event_bytes=1))
    assert ledger.redis.hexists(f"{ledger.keys.prefix}run:{RUN_KEY}", "event")
    ledger.reopen(RUN_KEY)
    wake_all(ledger)
    small.settle(lease(ledger, "0", "t2"), "failed", result("P0", "failed"))
    assert ledger.reopen(RUN_KEY).outcome == "gone"
    assert ledger.redis.get(f"{ledger.keys.prefix}retryable:bytes") == "0"
    assert ledger.redis.zcard(f"{ledger.keys.prefix}retryable") == 0


def test_a_folder_that_is_used_for_ever_remembers_few_of_its_users(ledger: Ledger) -> None:
    planned(ledger, 1)
    for number in range(200):
        assert ledger.call("touch", "folder", RUN_KEY if not number else f"{number:032x}", "0")
    users = ledger.redis.hkeys(f"{ledger.keys.prefix}touched:folder")
    assert len(cast("list[str]", users)) <= 66
    assert f"{RUN_KEY}:0" in cast("list[str]", users), "one that is not settled keeps the folder"


class Steps:
    """What workers and operators may do to a run of three packages, in any order."""

    def __init__(self, ledger: Ledger, seed: int) -> None:
        self.ledger = ledger
        self.chance = random.Random(seed)
        self.tokens = itertools.count()
        self.held: dict[str, Lease] = {}

    def any(self) -> None:
        steps = [self.take, self.take, self.publish, self.settle, self.settle, self.release, self.lose, self.operate]
        job = str(self.chance.randrange(3))
        try:
            self.chance.choice(steps)(job)
        except LeaseLost:
            self.held.pop(job, None)

    def take(self, job: str) -> None:
        taken = self.ledger.lease(RUN_KEY, job, f"t{next(self.tokens)}", ME)
        if taken:
            self.held[job] = taken

    def publish(self, job: str) -> None:
        if job in self.held:
            self.ledger.renew(self.held[job], publishing=True)

    def settle(self, job: str) -> None:
        if job in self.held:
            outcome = self.chance.choice(["succeeded", "failed"])
            self.ledger.settle(self.held[job], outcome, result(f"P{job}", outcome))

    def release(self, job: str) -> None:
        if job in self.held:
            self.ledger.release(self.held[job], 0, WHY)

    def lose(self, _: str) -> None:
        for one in self.ledger.held_at(ME.place)[:1]:
            self.ledger.lose(one, self.chance.choice(["crash", "handback"]))

    def operate(self, _: str) -> None:
        self.chance.choice([self.ledger.cancel, self.ledger.reopen])(RUN_KEY)
        self.ledger.sweep(QUEUES, expired=False)


@pytest.mark.parametrize("seed", range(40))
def test_whatever_the_order_of_steps_each_round_has_one_final_event(ledger: Ledger, seed: int) -> None:
    planned(ledger, 3)
    steps = Steps(ledger, seed)
    for _ in range(60):
        steps.any()
    while ledger.cancel(RUN_KEY).outcome == "cancelled":
        for one in ledger.held_at(ME.place):
            ledger.lose(one, "handback")
    entries = cast("list[tuple[str, dict[str, str]]]", ledger.redis.xrange(ledger.keys.status))
    told = [STATUS_EVENT.validate_json(fields["event"]) for _, fields in entries]
    finals = [event for event in told if isinstance(event, CompletedEvent)]
    rounds = 1 + sum(isinstance(event, ReopenedEvent) for event in told)
    assert [event.data.round for event in finals] == list(range(1, rounds + 1))
    assert max(Counter(event.id for event in told).values()) == 1, "an id says one thing"
    assert finals[-1] == final(ledger)
    for each in finals:
        states = Counter(str(package.state) for package in each.data.packages)
        assert states.total() == 3
        expected = "failed" if states["failed"] == 3 else "partly_succeeded" if states["failed"] else "succeeded"
        assert each.data.state == expected
    left = {key.removeprefix(ledger.keys.prefix) for key in ledger.redis.scan_iter(f"{ledger.keys.prefix}*")}
    assert not {key for key in left if key.startswith(("leased", "delayed", "waiting", "destination"))}
    assert ledger.redis.xlen(f"{ledger.keys.prefix}open:package.zipfile") == 0


def _settings(ledger: Ledger, **more: int) -> Settings:
    return Settings(namespace=ledger.keys.namespace, **more)  # pyright: ignore[reportArgumentType]
