"""Alerts, runbook and dashboard against the metrics that they are made of."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from redis import Redis

from packhouse.schemas.keys import Keys
from packhouse.worker.identity import Identity
from packhouse.worker.metrics.ledger import LedgerCollector

MONITORING = Path(__file__).parents[2] / "deploy" / "monitoring"
RULES: list[dict[str, Any]] = yaml.safe_load((MONITORING / "alerts.yml").read_text("utf-8"))["groups"][0]["rules"]
DASHBOARD: dict[str, Any] = json.loads((MONITORING / "dashboard.json").read_text("utf-8"))
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
EVERYWHERE = [rule["expr"] for rule in RULES] + QUERIES


def sections() -> dict[str, str]:
    """Paragraphs of the runbook by their anchors."""
    text = (MONITORING / "runbook.md").read_text("utf-8")
    parts = re.split(r"^## (\w+)$", text, flags=re.MULTILINE)[1:]
    return {name.lower(): body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}


def test_every_alert_has_its_paragraph_and_every_paragraph_its_alert() -> None:
    found = sections()
    assert sorted(found) == sorted(rule["alert"].lower() for rule in RULES)
    for rule in RULES:
        assert rule["annotations"]["runbook"] == f"runbook.md#{rule['alert'].lower()}"
        assert len(found[rule["alert"].lower()]) > 200
        assert rule["labels"]["severity"] in {"critical", "warning"}


def test_every_alert_is_tested_to_ring_and_to_be_quiet() -> None:
    tests = yaml.safe_load((MONITORING / "alerts.test.yml").read_text("utf-8"))["tests"]
    rung: dict[str, set[bool]] = {}
    for one in tests:
        for asked in one["alert_rule_test"]:
            rung.setdefault(asked["alertname"], set()).add(bool(asked["exp_alerts"]))
    assert rung == {rule["alert"]: {True, False} for rule in RULES}


def families(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Metric]:
    from prometheus_client import values

    from packhouse.worker.metrics import recorder

    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    monkeypatch.setattr(recorder, "_recorder", [recorder.Recorder()])
    counting: Any = recorder.count_in(str(tmp_path), Identity.of_worker("w@test"))
    for name in vars(counting):
        metric = getattr(counting, name)
        if hasattr(metric, "describe"):
            yield from metric.describe()


def test_queries_ask_for_metrics_that_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_url: str, namespace: str
) -> None:
    known = {family.name for family in families(tmp_path, monkeypatch)}
    registry = CollectorRegistry()
    with Redis.from_url(redis_url, decode_responses=True) as redis:
        registry.register(LedgerCollector(redis, Keys(namespace), "w@test", "0"))
        known |= {family.name for family in registry.collect()}
    suffixes = ("_total", "_bucket", "_sum", "_count", "")
    names = {f"{name}{suffix}" for name in known for suffix in suffixes}
    for expression in EVERYWHERE:
        asked = set(re.findall(r"packhouse_\w+", expression))
        assert asked, expression
        assert asked <= names, expression


def test_what_every_worker_tells_alike_is_never_summed() -> None:
    alike = (
        "runs_total|packages_total|dead_letters|recoveries|_jobs|wake_ups|run_queue|stream_entries|status_lag|_workers"
    )
    for expression in EVERYWHERE:
        for name in re.findall(rf"packhouse_\w*(?:{alike})\w*", expression):
            for found in re.finditer(name, expression):
                before = expression[: found.start()]
                assert re.search(r"max(_over_time)?( by \([\w, ]+\))? ?\(+$", before), expression


def test_panels_have_a_title_a_description_and_a_place_of_their_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        assert panel["title"]
        assert panel["description"].endswith(".")
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
