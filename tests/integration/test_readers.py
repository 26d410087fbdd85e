"""Of many workers a few wait at the run queue; the others look there now and then, and would be enough."""

from __future__ import annotations

import time
from dataclasses import replace

from support.farm import Farm, RunMaker, wait_for
from support.ledger import ME

from packhouse.worker.ledger import READERS, Ledger

WORKERS = [replace(ME, worker=f"w{number}") for number in range(READERS + 3)]


def waiting(ledger: Ledger, *, alive: float = 60) -> list[str]:
    """Those of all workers that are to wait, each having said that it lives."""
    rounds = {one.worker: ledger.round(one, alive=alive, sweep=60) for one in WORKERS}
    return [name for name, told in rounds.items() if told.waits]


def test_as_many_workers_wait_as_are_needed_and_they_stay(ledger: Ledger) -> None:
    first = waiting(ledger)
    assert first == [one.worker for one in WORKERS[:READERS]]
    assert waiting(ledger) == first


def test_others_wait_in_place_of_those_that_are_gone(ledger: Ledger) -> None:
    waiting(ledger, alive=0.3)
    rest = WORKERS[READERS:]
    wait_for(lambda: all(ledger.round(one, alive=60, sweep=60).waits for one in rest), what="the places of the dead")


def test_a_worker_that_does_not_wait_takes_in_what_comes_all_the_same(farm: Farm, make_run: RunMaker) -> None:
    readers = f"{farm.keys.prefix}readers"
    farm.redis.zadd(readers, {f"other{number}": (time.time() + 600) * 1000 for number in range(READERS)})
    farm.extra["PACKHOUSE_HEALTH_SECONDS"] = "4"
    farm.start()
    for number in range(2):
        run = make_run(f"r{number}", packages=[])
        farm.publish(run)
        farm.wait_final(run)
    assert int(farm.redis.zcard(readers)) == READERS
