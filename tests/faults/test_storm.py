"""Faults at random: nothing lost, nothing doubled, nothing left. ``make faults`` is the long form of this."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.injuries import KINDS
from support.storm import Plan, Storm


def test_killed_processes_and_a_server_that_refuses_leave_the_books_in_order(tmp_path: Path, data: Path) -> None:
    plan = Plan(seed=7, seconds=4, kinds=("child_killed", "server_read_only"), workers=2, repeated=0, pause=0.5)
    outcome = Storm(plan, tmp_path, data).run()
    assert not outcome.findings, f"{outcome.findings}\n{outcome.table()}"
    assert set(outcome.faults) == set(plan.kinds)
    assert outcome.runs
    assert outcome.executions >= outcome.packages


@pytest.mark.full
def test_whatever_is_done_to_workers_and_server_leaves_the_books_in_order(tmp_path: Path, data: Path) -> None:
    plan = Plan(seed=11, seconds=60, kinds=KINDS, heavy=(64,), heavy_runs=2)
    outcome = Storm(plan, tmp_path, data).run()
    assert not outcome.findings, f"{outcome.findings}\n{outcome.table()}"
    assert set(outcome.faults) > set(KINDS) - {"message_deleted", "message_doubled", "message_delayed"}
