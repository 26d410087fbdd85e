"""What workers tell Prometheus, read by Prometheus' own parser."""

from __future__ import annotations

import os
import signal
import socket
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.farm import Farm, RunMaker, wait_for
from support.server import free_port

from packhouse.worker.metrics.ledger import LedgerState
from packhouse.worker.packagers.registry import QUEUES, ZIPFILE_QUEUE


class Scrape:
    """One answer: the values of a metric by its labels."""

    def __init__(self, url: str) -> None:
        with urllib.request.urlopen(url, timeout=20) as answer:
            text = answer.read().decode()
        self.values: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                assert (sample.name, frozenset(sample.labels.items())) not in self.values, "told twice"
                self.values[sample.name, frozenset(sample.labels.items())] = sample.value

    def __call__(self, name: str, **labels: str) -> float:
        return self.values.get((name, frozenset(labels.items())), 0.0)

    def names(self) -> set[str]:
        return {name for name, _ in self.values}


@pytest.fixture
def url(farm: Farm) -> str:
    port = free_port()
    farm.extra = {"PACKHOUSE_METRICS_PORT": str(port), "PACKHOUSE_RUN_DIR": str(farm.folder / "run")}
    return f"http://127.0.0.1:{port}/metrics"


def answers(url: str) -> Scrape | None:
    try:
        return Scrape(url)
    except OSError:
        return None


def test_what_was_done_is_counted_over_all_processes(farm: Farm, make_run: RunMaker, url: str) -> None:
    farm.start(concurrency=2)
    names = [{"type": "Zipfile", "name": f"p{number}"} for number in range(4)]
    good, bad = make_run("good", packages=names), make_run("bad")
    bad.data.footprints[0].nodes[1].model.config["model_path"] = str(farm.folder / "none.onnx")  # pyright: ignore[reportOptionalMemberAccess]
    for raw in (good, good, bad, b"no event"):
        farm.publish(raw)
    assert farm.wait_final(good).data.state == "succeeded"
    assert farm.wait_final(bad).data.state == "failed"
    wait_for(lambda: farm.redis.xlen(farm.keys.run_queue) == 0, what="an empty run queue")
    told = wait_for(lambda: (one := answers(url)) and one("packhouse_busy_slots") == 0 and one, what="idle slots")
    assert isinstance(told, Scrape)
    assert told("packhouse_events_total", outcome="opened") == 2
    assert told("packhouse_events_total", outcome="duplicate") == 1
    assert told("packhouse_events_total", outcome="invalid") == 1
    assert told("packhouse_runs_total", state="opened") == 2
    assert told("packhouse_runs_total", state="succeeded") == 1
    assert told("packhouse_runs_total", state="failed") == 1
    assert told("packhouse_packages_total", type="Zipfile", state="succeeded") == 4
    assert told("packhouse_packages_total", type="Zipfile", state="failed") == 1
    assert told("packhouse_package_seconds_count", type="Zipfile", state="succeeded") == 4
    assert told("packhouse_stage_seconds_count", type="Zipfile", stage="writing") == 4
    written = sum(package.bytes or 0 for package in farm.wait_final(good).data.packages)
    assert told("packhouse_stage_bytes_total", type="Zipfile", stage="writing") >= written > 0
    assert told("packhouse_dead_letters_total") == 1
    assert told("packhouse_slots") == 2
    assert told("packhouse_workers") == 1
    assert told("packhouse_ledger_up") == 1
    assert all(told("packhouse_open_jobs", queue=queue) == 0 for queue in QUEUES)
    assert "packhouse_worker_info" in told.names()


@pytest.mark.full
def test_work_in_hand_shows_and_a_process_that_is_killed_is_busy_no_more(
    farm: Farm, make_run: RunMaker, url: str
) -> None:
    farm.hold("zip.poured")
    (worker,) = farm.start()
    event = make_run()
    farm.publish(event)
    victim = farm.wait_reached("zip.poured")
    told = wait_for(lambda: answers(url), what="metrics")
    assert told
    assert told("packhouse_busy_slots") == 1
    assert told("packhouse_leased_jobs") == 1
    assert told("packhouse_open_jobs", queue=ZIPFILE_QUEUE) == 1
    assert told("packhouse_oldest_job_seconds", queue=ZIPFILE_QUEUE) > 0
    farm.redis.delete(farm.keys.run_queue)  # no other run may come meanwhile
    os.kill(victim, signal.SIGKILL)
    farm.wait_reached("zip.poured", besides=(victim,))
    assert not psutil.pid_exists(victim)
    wait_for(lambda: (one := answers(url)) and one("packhouse_busy_slots") == 1, what="one busy process, not two")
    assert Scrape(url)("packhouse_recoveries_total", kind="crash") == 1
    farm.let_go("zip.poured")
    assert farm.wait_final(event).data.state == "succeeded"
    assert worker.stop() == 0


def test_a_port_that_is_taken_is_told_and_the_worker_works(farm: Farm, make_run: RunMaker, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        farm.extra = {"PACKHOUSE_METRICS_PORT": str(port), "PACKHOUSE_RUN_DIR": str(tmp_path / "run")}
        (worker,) = farm.start()
        event = make_run()
        farm.publish(event)
        assert farm.wait_final(event).data.state == "succeeded"
    assert f"it cannot listen on 127.0.0.1 port {port}" in worker.log.read_text("utf-8")


def test_folders_of_workers_that_are_gone_are_removed(farm: Farm, url: str, tmp_path: Path) -> None:
    (worker,) = farm.start()
    run = farm.folder / "run"
    (own,) = run.glob("*.metrics")
    worker.kill()
    assert own.is_dir()
    farm.start()
    (fresh,) = run.glob("*.metrics")
    assert fresh != own


def test_a_worker_whose_server_is_away_says_so(own_server: Any, farm_on: Callable[[str], Farm], tmp_path: Path) -> None:
    farm, port = farm_on(own_server.url), free_port()
    farm.extra = {"PACKHOUSE_METRICS_PORT": str(port), "PACKHOUSE_RUN_DIR": str(tmp_path / "run")}
    farm.start()
    where = f"http://127.0.0.1:{port}/metrics"
    wait_for(lambda: (one := answers(where)) and one("packhouse_ledger_up") == 1, what="a scrape")
    own_server.kill()
    told = wait_for(lambda: (one := answers(where)) and one("packhouse_ledger_up") == 0 and one, what="an absence")
    assert isinstance(told, Scrape)
    assert "packhouse_runs_total" not in told.names()


def test_without_a_port_nothing_is_counted_and_the_library_is_not_loaded(farm: Farm, make_run: RunMaker) -> None:
    farm.extra = {"PACKHOUSE_RUN_DIR": str(farm.folder / "run")}
    farm.start()
    event = make_run()
    farm.publish(event)
    assert farm.wait_final(event).data.state == "succeeded"
    assert list((farm.folder / "run").glob("*.metrics")) == []


def test_how_the_ledger_stands_costs_two_round_trips(farm: Farm) -> None:
    before = farm.redis.info("stats")["total_reads_processed"]
    LedgerState.read(farm.redis, farm.keys)
    after = farm.redis.info("stats")["total_reads_processed"]
    assert after - before <= 4
