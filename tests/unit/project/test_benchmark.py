"""The benchmark itself: what was measured outlives what goes wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[2]


def run(*rows: str, **told: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"BENCH_ROWS": ",".join(rows), "BENCH_MIB": "1", "BENCH_PAIRS": "1"} | told
    command = [sys.executable, "-m", "bench"]
    return subprocess.run(command, cwd=TESTS, env=environment, capture_output=True, text=True, check=False, timeout=100)


def test_the_table_and_its_json_hold_each_row_that_was_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "not made yet"
    done = run("zip-known", "digests-shared", BENCH_DIR=str(folder), BENCH_JSON=str(tmp_path / "b.json"))
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "b.json").read_text())["rows"]
    assert [(one["row"], one["why"]) for one in found] == [("zip-known", None), ("digests-shared", None)]
    assert found[0]["ours"]["written"] > 1 << 20
    assert "| zip-known " in done.stdout
    assert list(folder.iterdir()) == []


def test_a_row_that_fails_says_why_and_the_others_are_taken(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run("zip-known", "digests-shared", BENCH_DIR=str(tmp_path / "file"), BENCH_JSON=str(tmp_path / "b.json"))
    assert done.returncode == 1
    found = json.loads((tmp_path / "b.json").read_text())["rows"]
    assert [one["row"] for one in found] == ["zip-known", "digests-shared"]
    assert all(one["why"].startswith("failed: FileExistsError") for one in found)
