"""How often workers turn to the server, for a run and while nothing is to be done: a server of its own counts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
from conftest import Server
from support.farm import Farm, RunMaker, wait_for
from support.working import context_here

from packhouse.worker.app import PackhouseApp
from packhouse.worker.intake.reader import RunQueueReader
from packhouse.worker.ledger import Wake, connect

FarmOn = Callable[..., Farm]

PERIODIC = {"evalsha", "brpop", "xreadgroup", "xautoclaim", "publish", "exists", "ping"}
"""What an idle worker sends."""
WITHIN_SCRIPTS = {
    *("hmget", "hget", "get", "set", "llen", "zrange", "zrangebyscore", "time"),
    *("zadd", "zscore", "zremrangebyscore", "pexpire"),
}
"""What the scripts of its rounds call."""


def commands(farm: Farm) -> Counter[str]:
    """Calls by command since the server began, those of scripts among them."""
    stats = cast("dict[str, dict[str, Any]]", farm.redis.info("commandstats"))
    return Counter({name.removeprefix("cmdstat_"): int(each["calls"]) for name, each in stats.items()})


def connections(farm: Farm) -> int:
    return int(farm.redis.info("stats")["total_connections_received"])


def trips(farm: Farm) -> int:
    """How often the server has read from a client."""
    return int(farm.redis.info("stats")["total_reads_processed"])


@pytest.fixture
def farm(own_server: Server, farm_on: FarmOn) -> Farm:
    return farm_on(own_server.url, lease_seconds=600, sweep_seconds=600)


def test_a_run_of_one_zip_calls_eight_scripts_and_opens_no_connection(farm: Farm, make_run: RunMaker) -> None:
    """Open, lease, plan; lease, freeze, confirm for the ZIP and for the report beside it, settle.

    What a worker does by itself, once in a while, is allowed for: one more of anything in each run would be seen.
    """
    farm.start()
    runs = [make_run(f"r{number}") for number in range(9)]
    farm.publish(runs[0])
    farm.wait_final(runs[0])
    before, connected = commands(farm), connections(farm)
    for run in runs[1:]:
        farm.publish(run)
        farm.wait_final(run)
    spent, count = commands(farm) - before, len(runs[1:])
    assert spent["evalsha"] <= 8 * count + 4, spent
    assert spent["lpush"] == 2 * count
    assert spent["xack"] == count
    assert spent["script|load"] <= 2
    # Celery writes down nothing of what it has in hand: recovery brings back what is lost.
    assert spent["multi"] <= 2, spent
    # Started, succeeded; accepted, completed; and the progress of a package that takes a quarter of a second.
    assert spent["xadd"] <= 8 * count + 2, spent
    assert connections(farm) <= connected + 2


def test_runs_that_wait_are_taken_in_together(own_server: Server, farm: Farm, make_run: RunMaker) -> None:
    """To read them, to open them in the ledger and to wake their rankings takes a round trip each, for all eight.

    The server counts reads, and takes a few for what is long; one by one they would be 25.
    """
    wakes: list[Wake] = []
    app = PackhouseApp(farm.settings)
    context = replace(context_here(farm.settings, wakes), wake=lambda given: wakes.extend(given) or app.wake(given))
    with context.ledger.redis, connect(own_server.url, decode=False) as redis:
        reader = RunQueueReader(redis, context)
        reader.join()
        for turn in ("warm", "counted"):
            for number in range(8):
                farm.publish(make_run(f"{turn}-{number}"))
            before = trips(farm)
            assert reader.read(1) == 8
            after = trips(farm)
    app.close()
    assert len(wakes) == 16
    assert after - before - 1 <= 12  # beside the one that asked


def test_an_idle_worker_sends_few_commands_and_opens_no_connection(own_server: Server, farm_on: FarmOn) -> None:
    farm = farm_on(own_server.url, sweep_seconds=0.5)
    farm.start()
    wait_for(lambda: commands(farm)["brpop"] > 1, what="Celery to wait for wake-ups")
    farm.wait_sweeps(2)
    before, connected, began = commands(farm), connections(farm), time.monotonic()
    farm.wait_sweeps(4)
    spent, seconds = commands(farm) - before, time.monotonic() - began
    for own in ("info", "exists"):  # the test's own, and the probe's once in four seconds
        spent.pop(own, None)
    assert set(spent) <= PERIODIC | WITHIN_SCRIPTS, spent
    rounds = seconds / 0.5 + 2
    assert spent["evalsha"] <= 2 * rounds, spent
    assert spent.total() - spent["evalsha"] - sum(spent[name] for name in WITHIN_SCRIPTS) <= 3 * (seconds + 2), spent
    assert connections(farm) == connected
