"""A process is known by its id and its start time."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from packhouse.worker.identity import Identity, is_alive, place, process_mark


def test_this_process_is_alive_and_one_that_ended_is_not() -> None:
    assert is_alive(process_mark(os.getpid()))
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    mark = process_mark(child.pid)
    assert is_alive(mark)
    child.communicate(b"\n")
    assert not is_alive(mark)


def test_a_zombie_is_not_alive() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    mark = process_mark(child.pid)
    assert child.stdin is not None
    child.stdin.close()
    deadline = time.monotonic() + 20
    while is_alive(mark):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert child.wait() != 0


def test_another_process_under_the_same_id_is_not_mistaken_for_it() -> None:
    pid, _, started = process_mark(os.getpid()).partition("@")
    assert not is_alive(f"{pid}@{int(started) + 1}")
    assert not is_alive("not-a-process")


def test_every_start_of_a_worker_is_another_worker_in_the_same_place() -> None:
    one, other = Identity.of_worker("w@host"), Identity.of_worker("w@host")
    assert one.worker != other.worker
    assert one.place == other.place
    assert one.here().process == f"{one.main} {process_mark(os.getpid())}"


PLACE = "from packhouse.worker.identity import place; print(place())"
MAY_UNSHARE = subprocess.run(["unshare", "-r", "-p", "-f", "true"], capture_output=True, check=False).returncode == 0


def place_under(*words: str) -> str:
    command = [*words, sys.executable, "-c", PLACE]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_other_processes_of_the_same_machine_and_user_are_in_the_same_place() -> None:
    assert place_under() == f"{place()}\n"


@pytest.mark.skipif(not MAY_UNSHARE, reason="this machine makes no namespaces")
@pytest.mark.parametrize("kind", [["-p", "-f", "--mount-proc"], ["-T"]])
def test_a_namespace_of_ones_own_with_the_same_hostname_is_another_place(kind: list[str]) -> None:
    assert place_under("unshare", "-r", *kind) != place_under("unshare", "-r")


@pytest.mark.skipif(not MAY_UNSHARE, reason="this machine makes no namespaces")
def test_who_sees_the_processes_of_another_namespace_shares_a_place_with_nobody() -> None:
    blind = [
        "unshare",
        "-r",
        "-p",
        "-f",
        "sh",
        "-c",
        f'"{sys.executable}" -c "{PLACE}"; "{sys.executable}" -c "{PLACE}"',
    ]
    one, other = subprocess.run(blind, check=True, capture_output=True, text=True).stdout.split()
    assert one != other


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user takes root")
def test_another_user_is_in_another_place() -> None:
    code = PLACE.replace("print", "import os; place(); os.setuid(12345); print")
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert told.strip() != place()


def test_where_the_kernel_does_not_tell_its_boot_every_worker_is_in_a_place_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unreadable(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr("pathlib.Path.read_text", unreadable)
    assert place() != place()
