from __future__ import annotations

from support.readme import README, current, example

from packhouse.producers.cli import exits
from packhouse.schemas import ErrorCode, Keys, RunFinished


def rows_of(heading: str) -> list[list[str]]:
    text = README.read_text("utf-8")
    section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def test_the_settings_are_those_of_the_code() -> None:
    assert README.read_text("utf-8") == current(README.read_text("utf-8")), "run: make schemas"


def test_every_error_code_is_explained_once() -> None:
    assert [row[0] for row in rows_of("Error codes")] == [f"`{code}`" for code in ErrorCode]


def test_every_exit_status_is_explained() -> None:
    known = {exits.SUCCEEDED, exits.FAILED, exits.USAGE, exits.PARTLY, exits.TIMED_OUT, exits.UNREACHABLE}
    assert {int(row[0]) for row in rows_of("Exit statuses")} == known


def test_the_example_event_is_valid() -> None:
    event = RunFinished.model_validate_json(example("event"))
    assert event.data.footprints[0].nodes[1].is_output
    assert f"XADD {Keys().run_queue} * event" in README.read_text("utf-8")
