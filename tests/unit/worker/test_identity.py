"""A process is known by its id and its start time."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from packhouse.worker.identity import Identity, is_alive, process_mark


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
