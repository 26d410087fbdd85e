"""Debian's Prometheus scrapes a running stack: every query of dashboard and alerts is answered."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from redis import Redis
from support.farm import RunMaker, wait_for

from packhouse.local.stack import Stack
from packhouse.producers import StatusFeed, publish

MONITORING = Path(__file__).parents[2] / "deploy" / "monitoring"
NEEDS_TROUBLE = ("packhouse_retries_total",)
"""What a stack has nothing to tell of unless its storage or Azure fails."""

pytestmark = pytest.mark.full


def promtool(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], cwd=folder, capture_output=True, text=True, check=False)


def test_promtool_finds_nothing_wrong_and_every_alert_rings_when_it_should(tmp_path: Path) -> None:
    for file in MONITORING.iterdir():
        shutil.copy(file, tmp_path)
    assert promtool("check", "config", "prometheus.yml", folder=tmp_path).returncode == 0
    tested = promtool("test", "rules", "alerts.test.yml", folder=tmp_path)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_an_alert_that_does_not_ring_is_found(tmp_path: Path) -> None:
    for file in MONITORING.iterdir():
        text = file.read_text("utf-8").replace(
            "packhouse_oldest_job_seconds) > 3600", "packhouse_oldest_job_seconds) > 9e9"
        )
        (tmp_path / file.name).write_text(text, "utf-8")
    assert promtool("test", "rules", "alerts.test.yml", folder=tmp_path).returncode != 0


class Prometheus:
    """A running Prometheus that scrapes once a second."""

    def __init__(self, folder: Path, targets: list[str]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        shutil.copy(MONITORING / "alerts.yml", folder)
        scrape = {"job_name": "packhouse", "static_configs": [{"targets": targets}]}
        config = {"global": {"scrape_interval": "1s"}, "rule_files": ["alerts.yml"], "scrape_configs": [scrape]}
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config), "utf-8")
        self.url = f"http://127.0.0.1:{port}"
        log = (folder / "prometheus.log").open("wb")
        command = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
        self.process = subprocess.Popen(
            [*command, f"--web.listen-address=127.0.0.1:{port}"], cwd=folder, stdout=log, stderr=log
        )
        log.close()

    def ask(self, path: str, **arguments: str) -> Any:
        query = urllib.parse.urlencode(arguments)
        with urllib.request.urlopen(f"{self.url}{path}?{query}", timeout=30) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        return self.ask("/api/v1/query", query=expression)["result"]

    def healthy_targets(self) -> int:
        try:
            return sum(one["health"] == "up" for one in self.ask("/api/v1/targets")["activeTargets"])
        except OSError:
            return 0

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    environment = {
        "PACKHOUSE_RUNTIME_SOURCE": "folder",
        "PACKHOUSE_RUNTIME_FOLDER": str(tmp_path),
        "PACKHOUSE_RUN_DIR": str(tmp_path / "run"),
    }
    with Stack(tmp_path / "stack", [tmp_path], flower=False, environment=environment, say=lambda _: None) as stack:
        yield stack


def work(stack: Stack, make_run: RunMaker, number: int) -> None:
    """A run that succeeds, one that fails, and something that is no event."""
    engine = {"name": "olive", "version": "0.6.2", "runtime_packages": [{"name": "onnxruntime", "version": "1.18.1"}]}
    good = make_run(f"good-{number}", engine=engine)
    bad = make_run(f"bad-{number}", out="/elsewhere")
    for event in (good, bad):
        publish(event, stack.redis_url)
    with Redis.from_url(stack.redis_url) as redis:
        redis.xadd(stack.keys.run_queue, {"event": b"nothing"})
    with StatusFeed(stack.redis_url) as feed:
        assert feed.wait(good.run, timeout=120).data.state == "succeeded"  # pyright: ignore[reportAttributeAccessIssue]
        assert feed.wait(bad.run, timeout=120).data.state == "failed"  # pyright: ignore[reportAttributeAccessIssue]


def test_every_query_is_answered_by_a_prometheus_that_scrapes_a_running_stack(
    stack: Stack, tmp_path: Path, data: Path
) -> None:
    make_run = RunMaker(tmp_path, data)
    with Redis.from_url(stack.redis_url) as redis:
        redis.xgroup_create(stack.keys.status, "board", mkstream=True)
    targets = [urllib.parse.urlsplit(url).netloc for url in stack.metrics_urls]
    prometheus = Prometheus(tmp_path, targets)
    try:
        wait_for(lambda: prometheus.healthy_targets() == len(targets) == 2, what="both workers to be scraped")
        for number in range(3):
            work(stack, make_run, number)
        wait_for(lambda: prometheus.query("max(packhouse_dead_letters_total)==3"), what="a scrape after the last run")
        dashboard = json.loads((MONITORING / "dashboard.json").read_text("utf-8"))
        asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
        for expression in asked:
            finer = expression.replace(":15s]", ":1s]").replace(":1m]", ":1s]")
            if any(name in expression for name in NEEDS_TROUBLE):
                assert prometheus.query(finer) == []
            else:
                wait_for(lambda finer=finer: prometheus.query(finer), what=finer)
        (runs,) = prometheus.query('max(packhouse_runs_total{state="succeeded"})')
        assert runs["value"][1] == "3"
        (failed,) = prometheus.query(
            'sum(increase((max by (type, state) (packhouse_packages_total{state="failed"}))[1h:1s]))'
        )
        assert float(failed["value"][1]) > 0
        rules = prometheus.ask("/api/v1/rules")["groups"][0]["rules"]
        assert len(rules) == 12
        wait_for(
            lambda: all(one["health"] == "ok" for one in prometheus.ask("/api/v1/rules")["groups"][0]["rules"]),
            what="every rule to be evaluated",
        )
        assert not any(one["state"] == "firing" and one["name"] == "PackhouseNoWorkers" for one in rules)
    finally:
        prometheus.stop()
