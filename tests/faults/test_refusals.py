"""A server that refuses what it is asked for: work waits, and nothing of that counts against it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import OutOfMemoryError, RedisError
from support.books import Books
from support.farm import Farm, RunMaker, quick, wait_for
from support.server import Server
from support.working import context_here

from packhouse.schemas import run_key
from packhouse.worker import service
from packhouse.worker.intake.reader import RunQueueReader
from packhouse.worker.ledger import Wake, connect


def test_a_plan_that_a_server_without_memory_refuses_is_made_again_soon_and_uncounted(
    own_server: Server, namespace: str, make_run: RunMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Planning:
        def plan(self, _job: object) -> Any:
            redis.config_set("maxmemory", "1")
            return type("Plan", (), {"destination": "d", "model_dump_json": lambda _: "{}"})()

    wakes: list[Wake] = []
    context = context_here(quick(own_server.url, namespace, tmp_path), wakes)
    event = make_run()
    key = run_key(event.run)
    with context.ledger.redis as redis, connect(own_server.url, decode=False) as raw:
        reader = RunQueueReader(raw, context)
        reader.join()
        redis.xadd(context.ledger.keys.run_queue, {"event": event.to_wire()})
        reader.read(1)
        service.run_finished(context, key)
        monkeypatch.setattr(service, "packager_of", lambda _: Planning())
        with pytest.raises(OutOfMemoryError):
            service.package(context, key, "0")
        monkeypatch.undo()
        redis.config_set("maxmemory", "0")
        assert redis.hmget(f"{context.ledger.keys.prefix}job:{key}:0", ["state", "tries"]) == ["delayed", "0"]
        wait_for(lambda: context.ledger.sweep((), expired=False).due, seconds=5, what="the pause to be over")
        service.package(context, key, "0")
        findings = Books(redis, context.ledger.keys).check([event])
        assert not findings, str(findings)


def _full(redis: Any) -> None:
    redis.config_set("maxmemory", "1")


def _read_only(redis: Any) -> None:
    redis.replicaof("127.0.0.1", "1")


def _mend(redis: Any) -> None:
    redis.config_set("maxmemory", "0")
    redis.replicaof("NO", "ONE")


@pytest.mark.full
@pytest.mark.parametrize("refuse", [_full, _read_only])
def test_workers_outlive_a_server_that_refuses_and_go_on_when_it_does_not(
    own_server: Server, farm_on: Callable[[str], Farm], make_run: RunMaker, refuse: Callable[[Any], None]
) -> None:
    farm = farm_on(own_server.url)
    farm.start(2)
    events = [make_run("first"), make_run("in-hand")]
    farm.publish(events[0])
    farm.wait_final(events[0])
    farm.hold("intake.read")
    farm.publish(events[1])
    farm.wait_reached("intake.read")
    refuse(farm.redis)
    farm.let_go("intake.read")
    told = "maxmemory" if refuse is _full else "read only"
    wait_for(lambda: told in farm.logs(), what="the refusal to be noticed")
    time.sleep(2 * farm.settings.lease_seconds)  # that is how long it refuses
    with pytest.raises(RedisError):
        farm.publish(make_run("never"))
    _mend(farm.redis)
    events.append(make_run("second"))
    farm.publish(events[2])
    for event in events[1:]:
        assert farm.wait_final(event).data.packages[0].attempts == 1
    assert [worker.stop() for worker in farm.workers] == [0, 0]
    assert not Books(farm.redis, farm.keys).check(events)


@pytest.mark.full
def test_a_server_that_was_away_for_half_a_minute_is_gone_on_with(
    own_server: Server, farm_on: Callable[[str], Farm], make_run: RunMaker
) -> None:
    farm = farm_on(own_server.url)
    farm.start(2)
    event, waiting = make_run("r1"), make_run("r2")
    pid = farm.publish_held(event, "zip.poured")
    farm.publish(waiting)
    own_server.kill()
    farm.let_go("zip.poured")
    time.sleep(30)
    own_server.start()
    for one in (event, waiting):
        assert farm.wait_final(one).data.state == "succeeded"
    assert farm.wait_final(event).data.packages[0].attempts == 1, "who had the lease still has it"
    assert os.path.exists(f"/proc/{pid}")  # noqa: PTH110 (the process is still the same one)
    assert [worker.stop() for worker in farm.workers] == [0, 0]
    assert not Books(farm.redis, farm.keys).check([event, waiting])
