"""Every reader of what others wrote keeps its law, whatever it is given: the short form of ``make fuzz``."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from fuzz.running import Target, allowed_seconds, fuzz, inputs, run
from fuzz.targets import CORPUS, targets

EXECUTIONS = 60
READERS = (
    "event", "olive-0.6.2", "olive-0.6.2-frontier", "olive-0.13.0", "onnx", "package", "genai", "nupkg", "wheel",
)  # fmt: skip


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Target]:
    known = targets(tmp_path_factory.mktemp("fuzz"))
    assert tuple(known) == READERS
    return known


@pytest.mark.parametrize("file", sorted(CORPUS.glob("*/*")), ids=lambda file: f"{file.parent.name}-{file.name}")
def test_what_broke_a_reader_once_breaks_none_again(known: dict[str, Target], file: Path) -> None:
    crash = run(known[file.parent.name], file.read_bytes())
    assert crash is None, crash.trace


@pytest.mark.parametrize("name", READERS)
def test_real_inputs_that_were_changed_break_no_reader(known: dict[str, Target], name: str) -> None:
    books = fuzz(known[name], 1, executions=EXECUTIONS)
    assert books.executions == EXECUTIONS
    assert books.lines > 20
    assert not books.crashes, [crash.trace for crash in books.crashes.values()]


def test_a_reader_that_breaks_is_found_out_and_by_how_little_it_breaks(known: dict[str, Target]) -> None:
    def read(data: bytes) -> None:
        if b"ONNXModel" not in data:
            raise KeyError("type")

    broken = Target("broken", read, known["genai"].seeds + known["event"].seeds, known["event"].mutate)
    books = fuzz(broken, 1, executions=5)
    (crash,) = books.crashes.values()
    assert crash.kind == "KeyError in the target"
    assert crash.data == b""


def test_a_reader_whose_time_grows_faster_than_its_input_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fuzz.running._SECONDS", 0.1)

    def read(data: bytes) -> None:
        until = time.process_time() + 0.2 * (len(data) > 1)
        while time.process_time() < until:
            pass

    books = fuzz(Target("slow", read, (b"x", b"xx"), lambda _, data: data), 1, executions=4)
    assert list(books.crashes) == ["slow"]
    assert books.crashes["slow"].data == b"xx"
    assert (books.slowest_bytes, books.slowest > allowed_seconds(2)) == (2, True)


def test_the_same_seed_gives_the_same_inputs(known: dict[str, Target]) -> None:
    from itertools import islice
    from random import Random

    target = known["onnx"]
    first, second = (list(islice(inputs(target, Random(7), list(target.seeds)), 30)) for _ in range(2))
    assert first == second
    assert len(set(first)) > 20
