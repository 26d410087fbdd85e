"""Processes that are paused, hang or are restarted in the middle of a package: it is made once and whole."""

from __future__ import annotations

import hashlib
import os
import signal
from pathlib import Path

import pytest
from support.farm import Farm, RunMaker, wait_for

from packhouse.schemas import RunFinished, run_key

pytestmark = pytest.mark.full


def zip_of(event: RunFinished) -> Path:
    return Path(event.data.output_dir) / "OutputModels.zip"


def digest_of(event: RunFinished) -> str:
    return hashlib.sha256(zip_of(event).read_bytes()).hexdigest()


def counts_of(farm: Farm, event: RunFinished) -> list[str]:
    return list(map(str, farm.redis.hmget(f"{farm.keys.prefix}job:{run_key(event.run)}:0", ["crashes", "losses"])))


def goes_on(farm: Farm, make_run: RunMaker, pid: int) -> None:
    """Let a paused process go on, wait until it has found its lease lost, and for other work after that."""
    os.kill(pid, signal.SIGCONT)
    wait_for(lambda: "the lease was lost" in farm.logs(), what="the process that was paused to come back")
    for number in range(2):
        other = make_run(f"after-{pid}-{number}")
        farm.publish(other)
        assert farm.wait_final(other).data.state == "succeeded"


def test_one_that_was_paused_after_the_rename_changes_nothing_when_it_goes_on(farm: Farm, make_run: RunMaker) -> None:
    farm.extra["PACKHOUSE_LEASE_SECONDS"] = "1"
    farm.start(2)
    event = make_run()
    slow = farm.publish_held(event, "zip.renamed")
    os.kill(slow, signal.SIGSTOP)
    farm.wait_reached("zip.renamed", besides=(slow,))
    farm.let_go("zip.renamed")
    final = farm.wait_final(event)
    assert final.data.state == "succeeded"
    digest = digest_of(event)
    goes_on(farm, make_run, slow)
    assert digest_of(event) == digest
    assert sorted(file.name for file in zip_of(event).parent.iterdir()) == [
        "OutputModels.report.html",
        "OutputModels.zip",
    ]
    assert [one.subject for one in farm.finals()].count(event.subject) == 1


def test_one_that_hangs_loses_its_lease_and_another_makes_the_package(farm: Farm, make_run: RunMaker) -> None:
    farm.extra["PACKHOUSE_STAGE_SECONDS"] = "1"
    farm.start(2)
    event = make_run()
    hung = farm.publish_held(event, "zip.poured")
    wait_for(lambda: "No progress in stage writing" in farm.logs(), what="the lease to be let go")
    farm.wait_reached("zip.poured", besides=(hung,))
    farm.let_go("zip.poured")
    (result,) = farm.wait_final(event).data.packages
    assert result.state == "succeeded"
    assert result.attempts > 1
    assert sorted(file.name for file in zip_of(event).parent.iterdir()) == [
        "OutputModels.report.html",
        "OutputModels.zip",
    ]


def test_three_rolling_restarts_during_one_package_are_no_poison(farm: Farm, make_run: RunMaker) -> None:
    farm.extra["PACKHOUSE_SOFT_SHUTDOWN_SECONDS"] = "0.5"
    farm.start()
    event = make_run()
    farm.hold("zip.poured")
    farm.publish(event)
    seen = (farm.wait_reached("zip.poured"),)
    for _ in range(3):
        old = farm.workers[-1]
        farm.start()
        assert old.stop() == 0
        seen += (farm.wait_reached("zip.poured", besides=seen),)
    farm.let_go("zip.poured")
    (result,) = farm.wait_final(event).data.packages
    assert (result.state, result.attempts) == ("succeeded", 4)
    assert counts_of(farm, event) == ["0", "0"]


def test_a_package_that_kills_its_process_each_time_takes_no_other_with_it(farm: Farm, make_run: RunMaker) -> None:
    farm.start(concurrency=2)
    poison, beside = make_run("poison"), make_run("beside")
    bystander = farm.publish_held(beside, "zip.poured")
    farm.publish(poison)
    seen = (bystander,)
    for _ in range(3):
        victim = farm.wait_reached("zip.poured", besides=seen)
        os.kill(victim, signal.SIGKILL)
        seen += (victim,)
    (lost,) = farm.wait_final(poison).data.packages
    assert lost.error is not None
    assert lost.error.code == "worker_lost"
    farm.let_go("zip.poured")
    (result,) = farm.wait_final(beside).data.packages
    assert (result.state, result.attempts) == ("succeeded", 1)
    assert counts_of(farm, beside) == ["0", "0"]
    assert not zip_of(poison).exists()
