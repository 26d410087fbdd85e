"""What an engine wrote is shown on a terminal as text, and commands it nothing."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner
from rich.console import Console

from packhouse.producers.cli import exits
from packhouse.producers.cli.progress import Bars, Lines
from packhouse.producers.cli.render import show_final, show_runs
from packhouse.producers.cli.say import say_json
from packhouse.schemas import STATUS_EVENT, CompletedEvent, PermanentError, RunRef
from packhouse.schemas.errors import ErrorCode
from packhouse.schemas.status import PackageFailedEvent

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\N{RIGHT-TO-LEFT OVERRIDE}\u2066x\r\nsucceeded: all is well [bold]m[/bold]"
COMMANDS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]")
ERROR = {"code": "model_missing", "message": EVIL, "fix": EVIL}
CANDIDATE = {"rank": 1, "rank_in_accelerator": 1, "accelerator": "cpu-cpu", "model_id": EVIL, "reason": EVIL}
METRIC = {EVIL: {"value": 1.0, "priority": 1, "higher_is_better": True}}
CHECK = {
    "rank": 1, "rank_in_accelerator": 1, "accelerator": "cpu-cpu", "model_id": EVIL,
    "verdict": {"state": "failed", "reason": EVIL},
}  # fmt: skip


def final() -> CompletedEvent:
    failed = {
        "type": "Zipfile", "name": "digits", "state": "failed", "attempts": 1, "error": ERROR, "worker": EVIL,
        "seconds": 1.0, "warnings": [EVIL],
        "checks": [CHECK],
    }  # fmt: skip
    data = {
        "content_digest": "sha256:" + "0" * 64, "state": "failed", "packages": [failed],
        "candidates": [CANDIDATE | {"metrics": METRIC}],
        "left_out": [{"model_id": EVIL, "accelerator": "cpu-cpu", "reason": "no_model", "message": EVIL}],
        "warnings": [EVIL],
        "timings": {"accepted_at": "2026-01-01T00:00:00Z", "completed_at": "2026-01-01T00:00:01Z", "seconds": 1.0},
    }  # fmt: skip
    names = {"specversion": "1.0", "id": "1", "source": EVIL, "subject": "run\N{RIGHT-TO-LEFT OVERRIDE}\x9b2J"}
    event = STATUS_EVENT.validate_python({**names, "type": "packhouse.packaging.completed", "data": data})
    assert isinstance(event, CompletedEvent)
    return event


def lines_of(text: str) -> list[str]:
    assert not COMMANDS.search(text), repr(COMMANDS.search(text))
    return [line.strip() for line in text.splitlines()]


def test_a_final_status_is_shown_and_nothing_in_it_is_obeyed() -> None:
    out = io.StringIO()
    show_final(Console(file=out, width=4000, color_system=None), final())
    show_runs(Console(file=out, width=4000), [(RunRef(source=EVIL, id="r"), "failed", datetime.now(UTC))])
    lines = lines_of(out.getvalue())
    assert not any(line.startswith("succeeded: all is well") for line in lines)
    assert "[U+001B]]0;owned[U+0007]" in out.getvalue()
    assert "[bold]m[/bold]" in out.getvalue()


def test_lines_of_progress_and_bars_are_plain(capsys: pytest.CaptureFixture[str]) -> None:
    package = final().data.packages[0]
    event = PackageFailedEvent(id="1", source=EVIL, subject="r", data=package)
    Lines().show(event)
    shown = capsys.readouterr().err
    assert len(lines_of(shown)) == 1
    out = io.StringIO()
    with Bars(Console(file=out, width=200, force_terminal=True, color_system=None)) as bars:
        bars.show(event.model_copy(update={"data": package.model_copy(update={"name": EVIL})}))
    assert "\x1b]0;" not in out.getvalue()
    assert "\x9b" not in out.getvalue()


def test_an_error_of_a_command_is_plain(capsys: pytest.CaptureFixture[str]) -> None:
    exits.show(PermanentError(ErrorCode.OUTPUT_INVALID, EVIL.replace("\n", " "), fix="Look."))
    assert len(lines_of(capsys.readouterr().err)) == 2


def test_json_for_programs_says_the_same_in_plain_ascii() -> None:
    event = final()
    import click

    @click.command()
    def command() -> None:
        say_json(event.model_dump_json(exclude_none=True))

    printed = CliRunner().invoke(command).output.rstrip("\n")
    assert len(lines_of(printed)) == 1
    assert STATUS_EVENT.validate_json(printed) == event
