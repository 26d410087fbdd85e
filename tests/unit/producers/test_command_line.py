from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from packhouse.producers.cli import group
from packhouse.producers.cli.group import run
from packhouse.schemas import ErrorCode, PermanentError, TransientError

HEAVY = ["celery", "flower", "isal", "numpy", "onnx", "onnxruntime", "redis", "rich"]
LIST_MODULES = """
import sys
from packhouse.producers.cli import main
try:
    main(sys.argv[1:])
finally:
    print("MODULES", *sorted(name for name in sys.modules if "." not in name))
"""


def modules_after(*arguments: str) -> tuple[str, set[str]]:
    command = [sys.executable, "-c", LIST_MODULES, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    text, _, names = done.stdout.partition("MODULES")
    return text, set(names.split())


def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    text, modules = modules_after("--help")
    for name in ("up", "publish", "status", "rank", "verify"):
        assert f"\n  {name} " in text
    assert not modules & set(HEAVY)


@pytest.mark.parametrize("command", ["publish", "status", "rank"])
def test_the_help_of_a_command_imports_nothing_heavy(command: str) -> None:
    text, modules = modules_after(command, "--help")
    assert "Exit status" in text
    assert not modules & set(HEAVY)


def test_version_is_that_of_the_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"packhouse {metadata.version('packhouse')}\n"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (ErrorCode.CONFIGURATION_INVALID, 5),
        (ErrorCode.CONNECTION_FAILED, 5),
        (ErrorCode.TIMED_OUT, 4),
        (ErrorCode.PACKAGING_CONFIG_INVALID, 2),
        (ErrorCode.OUTPUT_INVALID, 1),
    ],
)
def test_an_error_is_two_lines_and_an_exit_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: ErrorCode, status: int
) -> None:
    kind = TransientError if code is ErrorCode.TIMED_OUT else PermanentError
    fail(monkeypatch, kind(code, "It went wrong.", fix="Do better."))
    assert run(["rank", "."]) == status
    assert capsys.readouterr().err == f"error [{code}]: It went wrong.\nfix: Do better.\n"


def test_an_interrupt_ends_with_130_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail(monkeypatch, KeyboardInterrupt())
    assert run(["rank", "."]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_a_defect_is_told_as_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fail(monkeypatch, ZeroDivisionError("division by zero"))
    assert run(["rank", "."]) == 1
    assert "error [internal_error]: ZeroDivisionError: division by zero" in capsys.readouterr().err


def fail(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def get_command(self: object, ctx: object, name: str) -> None:
        raise error

    monkeypatch.setattr(group.LazyGroup, "get_command", get_command)


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        ["rank"],
        ["rank", "/no/such/folder"],
        ["publish", "."],
        ["publish", ".", "--packaging-config", "x", "--map", "here=there"],
        ["publish", ".", "--packaging-config", "x", "--runtime", "onnxruntime"],
        ["publish", ".", "--packaging-config", "x", "--accelerator", "toaster"],
        ["publish", ".", "--packaging-config", "/no/such/file"],
        ["publish", ".", "--packaging-config", "x", "--top", "0"],
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_rank_prints_the_ranking_with_reasons_and_needs_no_server(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["rank", str(data / "olive-0.6.2-cpu-and-openvino/output_dir")]) == 0
    out = capsys.readouterr().out
    assert "5_OrtPerfTuning-4-ddf5310f-cpu-cpu" in out
    assert "higher latency-avg (0.01441 against 0.00889)" in out
    assert "27 left out" in out


def test_rank_as_json_has_every_node(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["rank", str(data / "olive-0.13.0-search/output_dir"), "--json", "--top", "2"]) == 0
    ranking = json.loads(capsys.readouterr().out)
    assert [each["model_id"] for each in ranking["candidates"]] == ["e4c9525a", "a5e84f6c"]
    assert len(ranking["candidates"]) + len(ranking["left_out"]) == 39


def test_rank_without_candidates_says_why_of_every_node_and_ends_with_1(
    tmp_path: Path, node: Callable[..., object], write_json: Callable[..., object], capsys: pytest.CaptureFixture[str]
) -> None:
    write_json(tmp_path / "cpu-cpu_footprints.json", [node("in"), node("broken", "in")])
    assert run(["rank", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "left out: in (cpu-cpu)" in out
    assert "left out: broken (cpu-cpu)" in out


def test_without_the_worker_rank_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = metadata.entry_points

    def without_ranking(**wanted: str) -> object:
        return () if wanted.get("group") == "packhouse.ranking" else found(**wanted)

    monkeypatch.setattr(metadata, "entry_points", without_ranking)
    assert run(["rank", str(data / "olive-0.13.0-search/output_dir")]) == 5
    assert "Install packhouse[worker]." in capsys.readouterr().err
