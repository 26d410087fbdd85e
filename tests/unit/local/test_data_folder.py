from __future__ import annotations

import os
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.farm import wait_for

from packhouse.local import folder as folder_module
from packhouse.local.child import Child
from packhouse.local.folder import DataFolder
from packhouse.schemas import PermanentError


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[DataFolder]:
    claimed = DataFolder(tmp_path / "data").claim()
    yield claimed
    claimed.release()


def test_a_folder_has_one_owner_and_the_next_one_is_told_who(folder: DataFolder) -> None:
    with pytest.raises(PermanentError, match=f"process {os.getpid()}"):
        DataFolder(folder.path).claim()
    folder.release()
    DataFolder(folder.path).claim().release()


def test_settings_come_back_as_they_were_written_and_are_for_the_owner_alone(folder: DataFolder) -> None:
    assert folder.read_env() == {}
    settings = {"A": "1", "PATHS": "/a b=/c;C:\\x=/d", "EMPTY": ""}
    folder.write_env({"GONE": "1"})
    folder.write_env(settings)
    assert folder.read_env() == settings
    assert stat.S_IMODE(folder.env_file.stat().st_mode) == 0o600
    assert [path.name for path in folder.path.iterdir() if path.name.startswith("env")] == ["env"]


def test_the_port_of_the_last_time_is_taken_if_it_is_free(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "_PORT_WAIT", 0.1)
    first = folder.port("URL")
    folder.write_env({"URL": f"redis://127.0.0.1:{first}/0"})
    assert folder.port("URL") == first
    with socket.socket() as other:
        other.bind(("127.0.0.1", first))
        other.listen()
        assert folder.port("URL") not in (first, 0)


def test_a_log_that_grew_too_long_is_turned_over_while_it_is_written(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_module, "_LOG_BYTES", 1000)
    with folder.log("worker-1").open("ab", buffering=0) as log:
        log.write(b"a" * 900)
        folder.bound_logs()
        assert folder.log("worker-1").stat().st_size == 900
        log.write(b"b" * 900)
        folder.bound_logs()
        log.write(b"last\n")
    assert folder.log("worker-1").read_bytes() == b"last\n"
    assert folder.log("worker-1").with_suffix(".log.1").read_bytes() == b"a" * 100 + b"b" * 900
    assert folder.tail("worker-1") == "    last"


def test_a_process_that_keeps_dying_is_started_ever_more_rarely(folder: DataFolder) -> None:
    said: list[str] = []
    command = [sys.executable, "-I", "-S", "-c", "raise SystemExit(3)"]
    child = Child("short", command, environment={}, folder=folder.logs, log=folder.log("short"))
    child.start()

    def died(times: int) -> bool:
        child.look_after(said.append)
        return child.deaths >= times

    wait_for(lambda: died(3), seconds=20, what="three deaths")
    assert [line.partition(":")[0] for line in said] == ["short ended (exit status 3)"] * 3
    assert [pause in line for pause, line in zip(("0.2 s", "0.4 s", "0.8 s"), said, strict=True)] == [True] * 3
    assert child.end(1)
