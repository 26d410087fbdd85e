"""Between the run queue and the ledger an event is in one of them, whatever fails."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ConnectionError  # noqa: A004 (redis-py's own name)
from support.books import Books
from support.farm import Farm, RunMaker, quick
from support.working import context_here

from packhouse.worker.intake import reader as intake
from packhouse.worker.intake.envelope import read_envelope
from packhouse.worker.ledger import Wake, connect

POINTS = ("read", "opened", "woken")


@pytest.fixture
def farms(redis_url: str, namespace: str, tmp_path: Path) -> Iterator[dict[str, Farm]]:
    """A farm without workers for each step of the intake."""
    made: dict[str, Farm] = {}
    for point in POINTS:
        folder = tmp_path / point
        folder.mkdir()
        made[point] = Farm(quick(redis_url, f"{namespace}-{point}", tmp_path), folder)
    yield made
    for farm in made.values():
        farm.close()


@pytest.mark.full
def test_a_worker_killed_between_any_two_steps_of_its_intake_leaves_the_event_to_another(
    farms: dict[str, Farm], make_run: RunMaker
) -> None:
    events = {point: make_run(f"run-{point}") for point in POINTS}
    for point, farm in farms.items():
        farm.hold(f"intake.{point}")
        farm.start(ready=False)
        farm.publish(events[point])
    for point, farm in farms.items():
        assert farm.wait_reached(f"intake.{point}") == farm.workers[0].process.pid
        farm.workers[0].kill()
        farm.let_go(f"intake.{point}")
        farm.start(ready=False)
    for point, farm in farms.items():
        assert farm.wait_final(events[point], seconds=90).data.state == "succeeded"
        assert farm.workers[1].stop() == 0
        findings = Books(farm.redis, farm.keys).check([events[point]], folders=[farm.folder])
        assert not findings, f"{point}: {findings}"


@pytest.mark.full
def test_a_worker_paused_in_its_intake_while_another_takes_over_takes_nothing_in_twice(
    farm: Farm, make_run: RunMaker
) -> None:
    (slow,) = farm.start()
    event = make_run()
    pid = farm.publish_held(event, "intake.read")
    os.kill(pid, signal.SIGSTOP)
    farm.let_go("intake.read")
    farm.start()
    assert farm.wait_final(event, seconds=90).data.state == "succeeded"
    os.kill(pid, signal.SIGCONT)
    follow = make_run("r2")
    farm.publish(follow)
    farm.wait_final(follow)
    for worker in (slow, farm.workers[1]):
        assert worker.stop() == 0
    findings = Books(farm.redis, farm.keys).check([event, follow])
    assert not findings, str(findings)


def test_an_event_in_hand_when_the_server_went_away_is_done_with_as_soon_as_it_is_back(
    redis_url: str, namespace: str, make_run: RunMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wakes: list[Wake] = []
    context = context_here(quick(redis_url, namespace, tmp_path), wakes)
    with context.ledger.redis as redis, connect(redis_url, patient=False, decode=False) as raw:

        def away(*_: Any, **__: Any) -> Any:
            raise ConnectionError("the server is away")

        reader = intake.RunQueueReader(raw, context)
        reader.join()
        redis.xadd(context.ledger.keys.run_queue, {"event": make_run().to_wire()})
        monkeypatch.setattr(context.ledger, "open_all", away)
        with pytest.raises(ConnectionError):
            reader.read(1)
        monkeypatch.undo()
        assert redis.xlen(context.ledger.keys.run_queue) == 1
        assert reader.read(1) == 0
        assert reader.resume() == 1
        assert redis.xlen(context.ledger.keys.run_queue) == 0
        assert [wake.job for wake in wakes] == ["rank"]


def test_an_event_that_meets_a_defect_holds_up_none_of_those_behind_it(
    redis_url: str, namespace: str, make_run: RunMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(raw: bytes, most: int) -> Any:
        if b'"bad"' in raw:
            raise RecursionError
        return sound(raw, most)

    sound = read_envelope
    monkeypatch.setattr(intake, "read_envelope", broken)
    wakes: list[Wake] = []
    context = context_here(quick(redis_url, namespace, tmp_path), wakes)
    with context.ledger.redis as redis, connect(redis_url, decode=False) as raw:
        reader = intake.RunQueueReader(raw, context)
        reader.join()
        for name in ("bad", "good"):
            redis.xadd(context.ledger.keys.run_queue, {"event": make_run(name).to_wire()})
        assert reader.read(1) == 2
        assert [wake.title.split()[1] for wake in wakes] == ["good"]
        assert redis.xlen(context.ledger.keys.run_queue) == 1, "the other is kept, and tried again"
