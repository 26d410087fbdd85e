"""The ledger keeps its promises, on a real server."""

from __future__ import annotations

import time

import pytest
from support.ledger import (
    DIGEST,
    ME,
    OTHER,
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

from packhouse.worker.ledger import Lease, LeaseLost, Ledger


def test_the_same_run_with_the_same_content_is_opened_once(ledger: Ledger) -> None:
    assert open_run(ledger) is not None
    again = arrive(ledger, event_id="other")
    assert (again.outcome, again.wake) == ("duplicate", None)


def test_the_same_run_id_with_other_content_is_reused(ledger: Ledger) -> None:
    open_run(ledger)
    again = arrive(ledger, OTHER)
    assert (again.outcome, again.digest) == ("reused", DIGEST)


def test_a_rejected_run_may_come_again_corrected_under_its_id(ledger: Ledger) -> None:
    open_run(ledger)
    ledger.reject(
        lease(ledger, "rank", "t"), rejected='{"error":{"code":"event_invalid","message":"m","fix":"f"}}', reason="r"
    )
    assert ledger.redis.xlen(ledger.keys.dead_letters) == 1
    assert open_run(ledger) is None
    assert open_run(ledger, OTHER) is not None
    assert lease(ledger, "rank", "t2").attempt == 1


def test_a_job_has_one_holder_at_a_time(ledger: Ledger) -> None:
    open_run(ledger)
    held = lease(ledger, "rank", "first")
    assert ledger.lease(RUN_KEY, "rank", "second", ME) is None
    assert ledger.renew(held)
    assert not ledger.renew(Lease(RUN_KEY, "rank", "second", 1, 0, 0, None))


def test_taking_a_lease_twice_with_one_token_is_taking_it_once(ledger: Ledger) -> None:
    planned(ledger)
    assert lease(ledger, "0", "t").attempt == 1
    assert lease(ledger, "0", "t").attempt == 1
    assert events(ledger).count("packhouse.package.started") == 1


def test_the_last_result_completes_the_run_in_the_order_of_its_config(ledger: Ledger) -> None:
    planned(ledger)
    ledger.settle(lease(ledger, "1", "b"), "succeeded", result("P1", "succeeded"))
    assert ledger.redis.get(ledger.keys.final(RUN)) is None
    ledger.settle(lease(ledger, "0", "a"), "failed", result("P0", "failed"))
    done = final(ledger)
    assert done.data.state == "partly_succeeded"
    assert [package.name for package in done.data.packages] == ["P0", "P1"]
    assert (done.source, done.subject) == (RUN.source, RUN.id)
    assert events(ledger).count("packhouse.packaging.completed") == 1


def test_settling_twice_changes_nothing_and_a_stranger_cannot_settle(ledger: Ledger) -> None:
    planned(ledger, 1)
    held = lease(ledger, "0", "t")
    with pytest.raises(LeaseLost):
        ledger.settle(Lease(RUN_KEY, "0", "stranger", 1, 0, 0, None), "failed", result("P0", "failed"))
    ledger.settle(held, "succeeded", result("P0", "succeeded"))
    ledger.settle(held, "succeeded", result("P0", "succeeded"))
    assert final(ledger).data.state == "succeeded"
    assert events(ledger).count("packhouse.package.succeeded") == 1
    assert ledger.lease(RUN_KEY, "0", "late", ME) is None


def test_the_first_plan_stays(ledger: Ledger) -> None:
    planned(ledger, 1)
    held = lease(ledger, "0", "t")
    assert ledger.freeze(held, '{"n":1}', "d").plan == '{"n":1}'
    ledger.lose(ledger.held_at(ME.place)[0], "handback")
    again = lease(ledger, "0", "t2")
    assert again.plan == '{"n":1}'
    assert ledger.freeze(again, '{"n":2}', "d").plan == '{"n":1}'


def test_a_destination_belongs_to_one_open_package_at_a_time(ledger: Ledger) -> None:
    planned(ledger)
    first, second = lease(ledger, "0", "a"), lease(ledger, "1", "b")
    assert ledger.freeze(first, "{}", "same").plan
    assert ledger.freeze(second, "{}", "same").taken_by == RUN.id
    ledger.settle(first, "succeeded", result("P0", "succeeded"))
    assert ledger.freeze(second, "{}", "same").plan


def test_a_crash_counts_and_a_handback_does_not(ledger: Ledger) -> None:
    planned(ledger, 1)
    for round_ in range(6):
        lease(ledger, "0", f"h{round_}")
        assert len(ledger.lose(ledger.held_at(ME.place)[0], "handback")) == 1
    for round_ in range(2):
        lease(ledger, "0", f"c{round_}")
        assert len(ledger.lose(ledger.held_at(ME.place)[0], "crash")) == 1
    lease(ledger, "0", "last")
    assert ledger.lose(ledger.held_at(ME.place)[0], "crash") == []
    done = final(ledger)
    assert done.data.state == "failed"
    assert done.data.packages[0].error is not None
    assert done.data.packages[0].error.code == "worker_lost"


def test_losses_of_whole_workers_have_a_limit_of_their_own(ledger: Ledger) -> None:
    planned(ledger, 1)
    for round_ in range(5):
        lease(ledger, "0", f"t{round_}")
        ledger.lose(ledger.held_at(ME.place)[0], "loss")
    assert final(ledger).data.packages[0].error is not None


def test_an_expired_lease_comes_back_by_the_sweep_and_its_holder_is_refused(ledger: Ledger) -> None:
    planned(ledger, 1)
    held = lease(ledger, "0", "slow")
    assert ledger.sweep([], expired=False).due == []
    deadline = time.monotonic() + 10
    while not (wakes := ledger.sweep([], expired=True).due):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert [(wake.run, wake.job) for wake in wakes] == [(RUN_KEY, "0")]
    lease(ledger, "0", "next")
    assert not ledger.renew(held)
    with pytest.raises(LeaseLost):
        ledger.settle(held, "succeeded", result("P0", "succeeded"))


def test_a_delayed_job_cannot_be_taken_before_its_time(ledger: Ledger) -> None:
    planned(ledger, 1)
    ledger.release(lease(ledger, "0", "t"), 0.3, WHY)
    assert ledger.lease(RUN_KEY, "0", "early", ME) is None
    deadline = time.monotonic() + 10
    while not ledger.sweep([], expired=False).due:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert lease(ledger, "0", "due").tries == 1


def test_a_run_without_packages_is_complete_when_it_is_planned(ledger: Ledger) -> None:
    planned(ledger, 0)
    assert final(ledger).data.state == "succeeded"


def test_open_jobs_are_counted_for_autoscalers_until_they_are_settled(ledger: Ledger) -> None:
    planned(ledger)
    stream = f"{ledger.keys.prefix}open:package.zipfile"
    held = lease(ledger, "0", "t")
    assert ledger.redis.xlen(stream) == 2
    ledger.settle(held, "succeeded", result("P0", "succeeded"))
    assert ledger.redis.xlen(stream) == 1


def in_celery(ledger: Ledger, count: int) -> None:
    """So many wake-ups lie in the queue of Celery."""
    ledger.redis.lpush(f"{ledger.keys.prefix}celery:package.zipfile", *["{}"] * count)


def missed(ledger: Ledger) -> list[str]:
    """Jobs whose wake-ups a sweep finds lost."""
    return [wake.job for wake in ledger.sweep(["ranking", "package.zipfile"], expired=False).lost]


def test_what_merely_waits_is_not_woken_again_however_much_it_is(ledger: Ledger) -> None:
    planned(ledger, 300)
    lease(ledger, "0", "t")
    in_celery(ledger, 299)
    assert [missed(ledger) for _ in range(5)] == [[]] * 5


def test_a_job_that_was_passed_over_is_woken_in_the_second_round(ledger: Ledger) -> None:
    planned(ledger, 3)
    lease(ledger, "2", "t")
    in_celery(ledger, 5)
    assert missed(ledger) == []
    assert missed(ledger) == ["0", "1"]
    assert [missed(ledger) for _ in range(3)] == [[]] * 3


def test_jobs_that_wait_while_no_wake_up_is_left_are_woken_in_the_second_round(ledger: Ledger) -> None:
    planned(ledger, 2)
    assert missed(ledger) == []
    assert missed(ledger) == ["0", "1"]


def test_no_key_stays_without_an_end_when_a_run_is_over(ledger: Ledger) -> None:
    planned(ledger)
    for job in ("0", "1"):
        held = lease(ledger, job, "t")
        ledger.freeze(held, "{}", f"d{job}")
        ledger.settle(held, "succeeded", result(job, "succeeded"))
    forever = {
        key.removeprefix(ledger.keys.prefix) for key in ledger.redis.scan_iter(f"{ledger.keys.prefix}*")
        if ledger.redis.ttl(key) == -1
    }  # fmt: skip
    assert forever == {"counts", "open:ranking", "open:package.zipfile", "reached", "sequence", "status", "version"}
