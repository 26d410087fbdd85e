"""Whatever process dies at whatever moment: one package, one final status, nothing half-written to be seen."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.farm import Farm, RunMaker, wait_for
from support.ledger import open_alone

from packhouse.schemas import RunFinished, RunRef, run_key
from packhouse.worker.app import PackhouseApp
from packhouse.worker.ledger import Arrival

POURED = "zip.poured"


def zip_of(event: RunFinished, name: str = "OutputModels") -> Path:
    return Path(event.data.output_dir) / f"{name}.zip"


def assert_one_whole_package(farm: Farm, event: RunFinished) -> None:
    archive = zip_of(event)
    beside = sorted(file.name for file in archive.parent.iterdir())
    assert beside == [f"{archive.stem}.report.html", archive.name], "something half-written was left"
    check = subprocess.run(["unzip", "-tq", str(archive)], capture_output=True, text=True, check=False)
    assert check.returncode == 0, check.stdout
    assert len(farm.finals()) == 1
    kinds = farm.stream(farm.keys.status)
    assert sum('"packhouse.package.succeeded"' in text for text in kinds) == 1


def test_the_same_event_twice_and_the_same_run_twice_are_packaged_once(farm: Farm, make_run: RunMaker) -> None:
    farm.start(2)
    event = make_run()
    again = event.model_copy(update={"id": str(uuid.uuid4())})
    for one in (event, event, again):
        farm.publish(one)
    assert farm.wait_final(event).data.state == "succeeded"
    farm.publish(again)
    wait_for(lambda: not farm.redis.xlen(farm.keys.run_queue), what="the intake")
    assert_one_whole_package(farm, event)


def test_a_pool_process_killed_before_the_rename_costs_an_attempt_and_nothing_else(
    farm: Farm, make_run: RunMaker
) -> None:
    farm.start()
    event = make_run()
    pid = farm.publish_held(event, POURED)
    partial = [file for file in zip_of(event).parent.iterdir() if file.name.endswith(".partial")]
    assert len(partial) == 1
    assert partial[0].stat().st_size > 0
    assert not zip_of(event).exists()
    os.kill(pid, signal.SIGKILL)
    farm.let_go(POURED)
    final = farm.wait_final(event)
    assert final.data.state == "succeeded"
    assert final.data.packages[0].attempts == 2
    assert_one_whole_package(farm, event)


def test_a_whole_worker_killed_before_the_rename_leaves_the_package_to_another(farm: Farm, make_run: RunMaker) -> None:
    (first,) = farm.start()
    event = make_run()
    farm.publish_held(event, POURED)
    farm.start()
    first.kill()
    farm.let_go(POURED)
    final = farm.wait_final(event)
    assert final.data.packages[0].worker == "w2@test"
    assert_one_whole_package(farm, event)


def test_a_process_that_always_dies_ends_as_worker_lost(farm: Farm, make_run: RunMaker) -> None:
    farm.start()
    event = make_run()
    farm.hold(POURED)
    farm.publish(event)
    killed: tuple[int, ...] = ()
    for _ in range(3):
        pid = farm.wait_reached(POURED, besides=killed)
        os.kill(pid, signal.SIGKILL)
        killed += (pid,)
    final = farm.wait_final(event)
    assert final.data.state == "failed"
    assert final.data.packages[0].error is not None
    assert final.data.packages[0].error.code == "worker_lost"
    assert final.data.packages[0].attempts == 3
    assert list(zip_of(event).parent.iterdir()) == [], "what the dead have left was not removed"


def test_a_wake_up_deleted_from_its_queue_is_sent_again(farm: Farm, make_run: RunMaker) -> None:
    event = make_run()
    farm.start()
    farm.hold(POURED)
    blocker = make_run("blocker")
    farm.publish(blocker)
    farm.wait_reached(POURED)
    farm.publish(event)
    queue = f"{farm.keys.prefix}celery:ranking"
    wait_for(lambda: farm.redis.llen(queue) == 1, what="the wake-up")
    farm.redis.delete(queue)
    farm.let_go(POURED)
    farm.wait_final(blocker)
    assert farm.wait_final(event).data.state == "succeeded"


@pytest.mark.full
def test_ten_thousand_waiting_jobs_cause_no_wake_up_to_be_sent_again(farm: Farm, make_run: RunMaker) -> None:
    farm.start()
    farm.hold(POURED)
    blocker = make_run("blocker")
    farm.publish(blocker)
    farm.wait_reached(POURED)
    app = PackhouseApp(farm.settings)
    for number in range(10_000):
        run = RunRef(source="/many", id=f"r{number}")
        arrival = Arrival(run, str(number), f"sha256:{number:064d}", "{}")
        opened = open_alone(farm.ledger, arrival, title=f"run r{number}")
        assert opened.wake is not None
        app.wake([opened.wake])
    queue = f"{farm.keys.prefix}celery:ranking"
    assert farm.redis.llen(queue) == 10_000
    farm.wait_sweeps(6)
    assert farm.redis.llen(queue) == 10_000
    assert farm.redis.get(f"{farm.keys.prefix}sequence") == str(10_000 + 2)


def test_a_server_killed_and_started_again_loses_nothing(
    own_server: Any, farm_on: Callable[[str], Farm], make_run: RunMaker
) -> None:
    farm = farm_on(own_server.url)
    farm.start()
    event, waiting = make_run("r1"), make_run("r2")
    farm.publish_held(event, POURED)
    farm.publish(waiting)
    own_server.kill()
    farm.let_go(POURED)
    own_server.start()
    for one in (event, waiting):
        assert farm.wait_final(one).data.state == "succeeded"
    assert sorted(final.subject for final in farm.finals()) == ["r1", "r2"]


def test_a_server_out_of_memory_lets_work_in_progress_end(
    own_server: Any, farm_on: Callable[[str], Farm], make_run: RunMaker
) -> None:
    farm = farm_on(own_server.url)
    farm.extra["PACKHOUSE_LEASE_SECONDS"] = "1"
    farm.start()
    event = make_run()
    farm.publish_held(event, POURED)
    farm.redis.config_set("maxmemory", "1mb")
    job = f"{farm.keys.prefix}job:{run_key(event.run)}:0"
    expires = int(str(farm.redis.hget(job, "expires")))
    wait_for(lambda: int(str(farm.redis.hget(job, "expires"))) > expires + 2000, what="the lease to be renewed")
    farm.let_go(POURED)
    assert farm.wait_final(event).data.packages[0].attempts == 1


def test_a_process_that_outlives_its_lease_changes_nothing(farm: Farm, make_run: RunMaker) -> None:
    farm.extra["PACKHOUSE_LEASE_SECONDS"] = "1"
    farm.start(2)
    event = make_run()
    slow = farm.publish_held(event, POURED)
    os.kill(slow, signal.SIGSTOP)
    other = farm.wait_reached(POURED, besides=(slow,))
    farm.let_go(POURED)
    final = farm.wait_final(event)
    digest = hashlib.sha256(zip_of(event).read_bytes()).hexdigest()
    os.kill(slow, signal.SIGCONT)
    follow = make_run("r2", out=str(zip_of(event).parent.parent / "other"))
    farm.publish(follow)
    farm.wait_final(follow)
    assert final.data.packages[0].state == "succeeded"
    assert other != slow
    assert hashlib.sha256(zip_of(event).read_bytes()).hexdigest() == digest
    beside = sorted(file.name for file in zip_of(event).parent.iterdir())
    assert beside == ["OutputModels.report.html", "OutputModels.zip"]
    assert len(farm.finals()) == 2


def test_a_worker_told_to_stop_hands_back_what_it_cannot_finish_uncounted(farm: Farm, make_run: RunMaker) -> None:
    farm.extra["PACKHOUSE_SOFT_SHUTDOWN_SECONDS"] = "1"
    (first,) = farm.start()
    event = make_run()
    farm.publish_held(event, POURED)
    farm.start()
    assert first.stop() == 0
    farm.let_go(POURED)
    final = farm.wait_final(event)
    assert final.data.packages[0].worker == "w2@test"
    job = farm.redis.keys(f"{farm.keys.prefix}job:*:0")[0]
    assert farm.redis.hmget(job, ["crashes", "losses"]) == ["0", "0"]
    assert_one_whole_package(farm, event)


def test_a_worker_told_to_stop_finishes_what_it_can(farm: Farm, make_run: RunMaker) -> None:
    farm.extra["PACKHOUSE_SOFT_SHUTDOWN_SECONDS"] = "30"
    (worker,) = farm.start()
    event = make_run()
    farm.publish_held(event, POURED)
    worker.process.terminate()
    farm.let_go(POURED)
    assert worker.process.wait(60) == 0
    assert farm.wait_final(event).data.packages[0].attempts == 1


def test_a_killed_worker_leaves_no_pool_process_behind(farm: Farm, make_run: RunMaker) -> None:
    (worker,) = farm.start()
    event = make_run()
    pid = farm.publish_held(event, POURED)
    child = psutil.Process(pid)
    worker.process.kill()
    worker.process.wait(10)
    child.wait(20)


def test_packages_of_a_run_are_made_at_once_on_separate_workers(farm: Farm, make_run: RunMaker) -> None:
    farm.start(2)
    event = make_run(packages=[{"type": "Zipfile", "name": "A"}, {"type": "Zipfile", "name": "B"}])
    first = farm.publish_held(event, POURED)
    second = farm.wait_reached(POURED, besides=(first,))
    farm.let_go(POURED)
    final = farm.wait_final(event)
    assert first != second
    assert {package.worker for package in final.data.packages} == {"w1@test", "w2@test"}


def test_the_same_event_packaged_by_different_workers_gives_the_same_bytes(farm: Farm, make_run: RunMaker) -> None:
    farm.start()
    event = make_run()
    farm.publish(event)
    first = farm.wait_final(event)
    digest = hashlib.sha256(zip_of(event).read_bytes()).hexdigest()
    farm.workers[0].stop()
    farm.redis.delete(*farm.redis.keys(f"{farm.keys.prefix}*"))
    farm.start()
    farm.publish(event)
    second = farm.wait_final(event)
    assert first.data.packages[0].worker != second.data.packages[0].worker
    assert first.data.packages[0].digest == second.data.packages[0].digest
    assert hashlib.sha256(zip_of(event).read_bytes()).hexdigest() == digest


def test_another_open_run_cannot_take_a_destination_and_a_later_one_replaces_it(farm: Farm, make_run: RunMaker) -> None:
    farm.start(2)
    first = make_run("r1")
    farm.publish_held(first, POURED)
    second = make_run("r2", out=first.data.output_dir)
    farm.publish(second)
    refused = farm.wait_final(second)
    assert refused.data.packages[0].error is not None
    assert refused.data.packages[0].error.code == "destination_taken"
    farm.let_go(POURED)
    one = farm.wait_final(first)
    third = make_run("r3", out=first.data.output_dir, candidates=1)
    farm.publish(third)
    replaced = farm.wait_final(third).data.packages[0].replaced
    assert replaced is not None
    assert replaced.digest == one.data.packages[0].digest
