"""The model of a cluster: what it carries is what its fullest part does."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench import simulate
from bench.cluster import Cluster, Outcome, Setting, Times, limits

FIGURES: dict[str, dict[str, float]] = {
    "two-workers": {
        "server_seconds_per_run": 0.004,
        "requests_per_run": 20.0,
        "idle_server_seconds": 0.0005,
        "idle_requests": 20.0,
        "main_seconds_per_run": 0.006,
        "pool_seconds_per_run": 0.1,
        "package_bytes": 8 << 20,
        "disk_bytes_per_second": 1 << 30,
        "processor_share": 1.0,
        "side_by_side": 2.0,
        "processors": 2,
        "runs": 40,
        "runs_per_second_1": 9.0,
        "runs_per_second_2": 17.0,
    },
    "grow-readers": {"server_us_per_reader": 1.0, "at_1": 100.0},
    "grow-polls": {"at_1000": 24.0},
    "grow-open-runs": {"renew_us": 30.0, "at_1": 400.0},
    "grow-sweep": {"round_us": 40.0, "sweep_us_at_10000": 35.0, "bring_back_us_at_10000": 20.0, "swept": 200},
}
ROWS: dict[str, dict[str, Any]] = {
    name: {"row": name, "what": "runs", "figures": figures} for name, figures in FIGURES.items()
}
TIMES = Times.of(ROWS, "two-workers")
PLENTY = float(1 << 40)


def held_up(setting: Setting, runs: int = 600) -> tuple[Outcome, dict[str, float]]:
    return Cluster(TIMES, setting).run(runs), limits(TIMES, setting)


@pytest.mark.parametrize(
    ("setting", "fullest"),
    [
        (Setting(workers=5, storage=PLENTY), "workers"),
        (Setting(workers=100, storage=PLENTY), "server"),
        (Setting(workers=60, storage=float(100 << 20)), "storage"),
    ],
)
def test_a_cluster_carries_what_its_fullest_part_does(setting: Setting, fullest: str) -> None:
    outcome, by_formula = held_up(setting)
    assert outcome.fullest == fullest == min(by_formula, key=lambda name: by_formula[name])
    # A process for packages also waits for the server and for the main process of its worker.
    assert 0.85 * by_formula[fullest] < outcome.rate < 1.02 * by_formula[fullest]


def test_what_is_used_is_the_rate_times_what_a_run_takes() -> None:
    setting = Setting(workers=20, storage=float(1 << 30))
    outcome = Cluster(TIMES, setting).run(2_000, 100.0)
    assert outcome.rate == pytest.approx(100, rel=0.1)
    taken = {
        "workers": TIMES.pool / setting.workers,
        "storage": TIMES.package_bytes / setting.storage,
        "server": TIMES.server + setting.workers * TIMES.server_per_reader,
    }
    idle = {"server": setting.workers * TIMES.server_idle}
    for name, seconds in taken.items():
        assert outcome.used[name] == pytest.approx(outcome.rate * seconds + idle.get(name, 0), rel=0.03), name


def test_a_cluster_with_little_to_do_takes_as_long_as_the_steps_of_a_run() -> None:
    outcome = Cluster(TIMES, Setting(workers=50, storage=PLENTY)).run(500, 1.0)
    steps = TIMES.server + TIMES.main + TIMES.pool
    assert outcome.stays[len(outcome.stays) // 2] == pytest.approx(steps, rel=0.02)


def test_many_idle_workers_leave_the_server_less_time_for_runs() -> None:
    few, many = (limits(TIMES, Setting(workers, storage=PLENTY))["server"] for workers in (100, 1_000))
    assert few == pytest.approx((1 - 0.05) / 0.004, rel=0.01)
    assert many == pytest.approx((1 - 0.5) / 0.004, rel=0.01)
    assert limits(TIMES, Setting(workers=3_000))["server"] == 0


@pytest.mark.parametrize(("both", "expected"), [(2.0, 1.0), (1.0, 0.5)])
def test_on_one_machine_workers_share_its_processors(both: float, expected: float) -> None:
    times = replace(TIMES, side_by_side=both)
    one, two = (Cluster(times, Setting(workers, one_machine=True)).run(times.runs).rate for workers in (1, 2))
    assert two / one == pytest.approx(2 * expected, rel=0.15)


def test_packages_that_wait_long_for_the_storage_tell_of_it_more_often() -> None:
    quick, slow = (
        Cluster(TIMES, Setting(workers=20, storage=storage)).run(200) for storage in (PLENTY, float(20 << 20))
    )
    assert slow.used["server"] / slow.rate > 1.5 * quick.used["server"] / quick.rate


def test_the_script_reads_what_the_benchmark_wrote_and_says_what_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bench.json"
    file.write_text(json.dumps({"rows": list(ROWS.values())}))
    monkeypatch.setattr(sys, "argv", ["simulate", str(file), "--workers", "1,40", "--storage-mib", "100000"])
    assert simulate.main() == 0
    told = capsys.readouterr().out
    assert "| 40 | " in told
    assert "full from 25 workers on" in told
    assert "two-workers-light was not measured" in told


def test_the_script_says_which_rows_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bench.json"
    file.write_text(json.dumps({"rows": [ROWS["two-workers"]]}))
    monkeypatch.setattr(sys, "argv", ["simulate", str(file)])
    assert simulate.main() == 2
    assert "grow-readers" in capsys.readouterr().out
