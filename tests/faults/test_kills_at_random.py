from __future__ import annotations

import contextlib
import os
import random
import shutil
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from support.farm import wait_for
from support.processes import alive, family, processes_in
from support.verifying import Silent

from packhouse.local.stack import Stack
from packhouse.producers import StatusFeed, publish
from packhouse.producers.olive import read_output_dir
from packhouse.schemas import CompletedEvent, PackagingConfig, PackagingType, RunFinished, TransientError
from packhouse.schemas.paths import PathMap
from packhouse.worker.verify.run import verify

KINDS = ("pool", "worker", "pool", "server") * 3
RUNS_A_KILL = 4
SEED = int(os.environ.get("PACKHOUSE_FAULT_SEED", "20240601"))


def victims(stack: Stack, kind: str) -> list[psutil.Process]:
    """What is killed: a process of a worker's pool, a whole worker, or the server. None while it is just down."""
    pids = stack.pids
    if kind == "server":
        return [psutil.Process(pids["server"])] if "server" in pids else []
    workers = [pid for name, pid in pids.items() if name.startswith("worker-")]
    try:
        one = family(random.choice(workers)) if workers else []
    except psutil.NoSuchProcess:
        return []
    return one if kind == "worker" else one[1:2]


def kill(stack: Stack, kind: str) -> None:
    for victim in wait_for(lambda: victims(stack, kind), what=f"a {kind} to kill"):
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()


@pytest.mark.full
@pytest.mark.timeout(600)
def test_whatever_is_killed_every_run_ends_once_and_every_package_is_sound(tmp_path: Path, data: Path) -> None:
    random.seed(SEED)
    sample = "olive-0.6.2-cpu-and-openvino"
    run = tmp_path / sample
    shutil.copytree(data / sample, run)
    environment = {
        "PACKHOUSE_LEASE_SECONDS": "3",
        "PACKHOUSE_SWEEP_SECONDS": "0.3",
        "PACKHOUSE_CRASH_LIMIT": "50",
        "PACKHOUSE_SOFT_SHUTDOWN_SECONDS": "5",
    }
    stack = Stack(tmp_path / "stack", [tmp_path], flower=False, environment=environment, say=lambda _: None)
    events: list[RunFinished] = []
    with stack:
        for kind in KINDS:
            for _ in range(RUNS_A_KILL):
                events.append(event_of(run, len(events)))
                publish_until_it_returns(events[-1], stack.redis_url)
            time.sleep(random.uniform(0, 0.5))  # anywhere in the work
            kill(stack, kind)
        with StatusFeed(stack.redis_url) as feed:
            for event in events:
                final = feed.wait(event.run, timeout=120)
                assert isinstance(final, CompletedEvent), f"{final}, seed {SEED}"
                assert final.data.state == "succeeded", f"{final.model_dump_json()}, seed {SEED}"
            ids = [event.id for _, event in feed.follow(after="0", timeout=2) if isinstance(event, CompletedEvent)]
        assert Counter(ids) == Counter(set(ids)), "no final event twice"
        assert len(ids) == len(events)
        everyone = [one for pid in stack.pids.values() for one in family(pid)]
    packages = sorted((run / "output_dir").glob("*.zip"))
    assert len(packages) == 2 * len(events)
    for package in packages:
        assert verify(package, shown=package.name, watcher=Silent()).ok
    left = [path.name for path in (run / "output_dir").iterdir() if path.name.startswith(".")]
    assert left == [], f"seed {SEED}"
    wait_for(lambda: not alive(everyone) and not processes_in(stack.folder.path), seconds=5, what="the end of all")


def event_of(run: Path, number: int) -> RunFinished:
    """A run that asks for two packages."""
    finished = read_output_dir(
        run / "output_dir",
        packaging_config=[PackagingConfig(type=PackagingType.ZIPFILE, name=f"{letter}{number}") for letter in "pq"],
        mapping=PathMap.parse([f"/srv/olive={run}"]),
    )
    return RunFinished.of(finished, source="/farm", run_id=f"run-{number}")


def publish_until_it_returns(event: RunFinished, redis_url: str) -> None:
    """As an engine does that is told to try again: twice the same event is once."""
    deadline = time.monotonic() + 60
    while True:
        try:
            publish(event, redis_url)
        except TransientError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        else:
            return
