"""Processes that are started with wrong settings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKHOUSE = str(Path(sys.executable).with_name("packhouse"))
CELERY = [sys.executable, "-m", "celery", "-A", "packhouse.worker.app"]


@pytest.mark.parametrize(
    ("command", "variable", "value"),
    [
        ([*CELERY, "worker"], "PACKHOUSE_LEASE_SECONDS", "soon"),
        ([*CELERY, "worker"], "PACKHOUSE_REDIS_URL_FILE", "/nowhere/at/all"),
        ([*CELERY, "flower"], "PACKHOUSE_PATH_MAPS", "nonsense"),
        ([*CELERY, "worker"], "PACKHOUSE_REDIS_URL", "redis:6379"),
        ([PACKHOUSE, "doctor"], "PACKHOUSE_REDIS_URL_FILE", "/nowhere/at/all"),
    ],
)
def test_a_wrong_setting_is_named_in_a_sentence_and_the_status_is_5(
    command: list[str], variable: str, value: str, tmp_path: Path
) -> None:
    environment = {name: text for name, text in os.environ.items() if not name.startswith("PACKHOUSE_")}
    done = subprocess.run(
        command, env=environment | {variable: value}, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 5, done.stderr
    assert "Traceback" not in done.stderr
    first, fix = done.stderr.strip().splitlines()
    assert first.startswith("error [configuration_invalid]: ")
    assert variable in first or value in first
    assert fix.startswith("fix: ")
