"""How often workers turn to the server, for a run and while nothing is to be done: a server of its own counts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

import pytest
from conftest import Server
from support.farm import Farm, RunMaker, wait_for

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


@pytest.fixture
def farm(own_server: Server, farm_on: FarmOn) -> Farm:
    return farm_on(own_server.url, lease_seconds=60, sweep_seconds=60)


def test_a_run_of_one_zip_calls_eight_scripts_and_opens_no_connection(farm: Farm, make_run: RunMaker) -> None:
    """Open, lease, plan; lease, freeze, confirm for the ZIP and for the report beside it, settle."""
    farm.start()
    runs = [make_run(f"r{number}") for number in range(4)]
    farm.publish(runs[0])
    farm.wait_final(runs[0])
    before, connected = commands(farm), connections(farm)
    for run in runs[1:]:
        farm.publish(run)
        farm.wait_final(run)
    spent = commands(farm) - before
    assert spent["evalsha"] <= 8 * len(runs[1:]) + 1, spent
    assert spent["lpush"] == 2 * len(runs[1:])
    assert spent["script|load"] == 0
    assert spent["xack"] == len(runs[1:])
    assert connections(farm) == connected


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
