from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import values

from packhouse.worker.identity import Identity, process_mark
from packhouse.worker.metrics import recorder
from packhouse.worker.vitals import Limits, Vitals, make_run_dir, probe

NOW = 10_000.0
IDENTITY = Identity.of_worker("w1@test")


def healthy(**changes: object) -> Vitals:
    """A worker that has been up for a while and did everything a moment ago."""
    vitals = Vitals(
        worker=IDENTITY.worker,
        name=IDENTITY.name,
        place=IDENTITY.place,
        main=IDENTITY.main,
        limits=Limits(hang=60, away=600, drain=35),
        roots=(),
        written=NOW,
        looped=NOW - 1,
        threads={"intake": NOW - 1, "recovery": NOW - 2},
        answered=NOW - 1,
        back=NOW - 5000,
        disconnected=None,
        draining=None,
        registered=True,
    )
    return replace(vitals, **changes)  # pyright: ignore[reportArgumentType]


def said(vitals: Vitals, folder: Path, *, ready: bool) -> tuple[bool, str]:
    vitals.write(folder)
    answer = probe(folder, IDENTITY.place, ready=ready, now=NOW)
    return answer.healthy, answer.line


@pytest.mark.parametrize("ready", [True, False])
def test_a_worker_that_turns_is_alive_and_ready(tmp_path: Path, ready: bool) -> None:
    good, line = said(healthy(), tmp_path, ready=ready)
    assert good
    assert line == ("ready: w1@test" if ready else "alive: w1@test")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"written": NOW - 61}, "has said nothing for 61 s"),
        ({"looped": NOW - 61}, "its main loop has not turned for 61 s"),
        ({"threads": {"intake": NOW - 61}}, "its thread intake has not turned for 61 s"),
        ({"threads": {"intake": NOW, "recovery": 0.0}}, "its thread recovery has ended"),
        ({"answered": NOW - 601}, "the server has not answered for 601 s"),
        ({"disconnected": NOW - 601}, "Celery has had no connection"),
        ({"draining": NOW - 36}, "was told to stop 36 s ago"),
        ({"main": "1@gone"}, "its main process is gone"),
    ],
)
def test_what_only_a_restart_cures_fails_liveness_and_readiness(
    tmp_path: Path, changes: dict[str, object], why: str
) -> None:
    for ready in (True, False):
        good, line = said(healthy(**changes), tmp_path, ready=ready)
        assert not good
        assert why in line


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"answered": NOW - 11}, "the server has not answered for 11 s"),
        ({"disconnected": NOW - 1}, "no connection"),
        ({"draining": NOW - 5, "looped": NOW - 100}, "it is stopping, for 5 s"),
        ({"registered": False}, "the ledger does not know it"),
        ({"roots": ("/nowhere/at/all",)}, "the storage root /nowhere/at/all"),
    ],
)
def test_what_passes_by_itself_fails_readiness_alone(tmp_path: Path, changes: dict[str, object], why: str) -> None:
    vitals = healthy(**changes)
    assert said(vitals, tmp_path, ready=False)[0]
    good, line = said(vitals, tmp_path, ready=True)
    assert not good
    assert why in line


def test_what_waits_for_an_absent_server_does_not_hang(tmp_path: Path) -> None:
    waiting = {"looped": NOW - 300, "threads": {"intake": NOW - 300}}
    assert said(healthy(answered=NOW - 300, **waiting), tmp_path, ready=False)[0]
    assert said(healthy(back=NOW - 30, **waiting), tmp_path, ready=False)[0]
    assert not said(healthy(back=NOW - 70, **waiting), tmp_path, ready=False)[0]


def test_one_sick_worker_of_several_fails_the_probe_and_one_that_was_killed_earlier_does_not(tmp_path: Path) -> None:
    healthy().write(tmp_path)
    healthy(worker="killed", name="old@test", main="1@gone").write(tmp_path)
    healthy(worker="elsewhere", name="other@test", place="another host", written=0.0).write(tmp_path)
    assert probe(tmp_path, IDENTITY.place, ready=False, now=NOW).line == "alive: w1@test"
    healthy(worker="sick", name="w2@test", looped=NOW - 100).write(tmp_path)
    assert "w2@test" in probe(tmp_path, IDENTITY.place, ready=False, now=NOW).line


def test_no_worker_and_no_folder_and_torn_files_are_an_answer_too(tmp_path: Path) -> None:
    (tmp_path / "torn.vitals").write_text('{"worker": ')
    (tmp_path / "foreign.vitals").write_text("[]")
    for folder in (tmp_path, tmp_path / "missing"):
        answer = probe(folder, IDENTITY.place, ready=False)
        assert not answer.healthy
        assert "no worker has said anything" in answer.line


def test_a_starting_worker_forgets_those_that_were_killed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    make_run_dir(folder, IDENTITY)
    assert folder.stat().st_mode & 0o777 == 0o700
    healthy(worker="killed", main="1@gone").write(folder)
    healthy(worker="alive", main=process_mark(os.getpid())).write(folder)
    make_run_dir(folder, IDENTITY)
    assert [file.stem for file in folder.iterdir()] == ["alive"]


def test_what_workers_of_other_places_left_goes_when_nothing_was_heard_of_it_for_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of containers that were replaced, and have left their files in a volume."""
    for name, written in (("silent", 25), ("heard", 1)):
        healthy(worker=name, place=name, main="7@7").write(tmp_path)
        (tmp_path / f"{name}.new").write_text("{")
        old = tmp_path / f"{name}-7@7.metrics"
        old.mkdir()
        (old / "counter_7.db").touch()
        at = time.time() - written * 3600
        for path in (tmp_path / f"{name}.vitals", tmp_path / f"{name}.new"):
            os.utime(path, (at, at))
        os.utime(old, (0, 0))
    healthy(worker="here", main=process_mark(os.getpid())).write(tmp_path)
    os.utime(tmp_path / "here.vitals", (0, 0))
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    monkeypatch.setattr(recorder, "_recorder", [recorder.Recorder()])
    recorder.count_in(str(tmp_path), IDENTITY)
    own = f"{IDENTITY.place}-{IDENTITY.main}.metrics"
    left = {"heard.vitals", "heard.new", "heard-7@7.metrics", "here.vitals", own}
    assert {path.name for path in tmp_path.iterdir()} == left


def test_a_run_directory_that_another_could_have_laid_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "real")
    with pytest.raises(PermissionError):
        make_run_dir(tmp_path / "run", IDENTITY)


def test_the_probe_imports_nothing_that_takes_long() -> None:
    script = (
        "import sys; from packhouse.producers.cli import group; status = group.run(['health', '--live']);"
        "print(status, sorted({name.partition('.')[0] for name in sys.modules} & "
        "{'celery', 'kombu', 'redis', 'pydantic', 'pydantic_settings', 'onnxruntime', 'numpy', 'rich', 'azure'}))"
    )
    environment = os.environ | {"PACKHOUSE_RUN_DIR": "/nowhere/at/all"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "not alive: no worker has said anything in /nowhere/at/all",
        "1 []",
    ]
