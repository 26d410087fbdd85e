"""Trials forked off a process that is kept ready: confined as one started anew, and gone as surely."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.endless import save_endless
from support.farm import wait_for

from packhouse.worker.models import guarded as module
from packhouse.worker.models.guarded import Ended, guarded

Model = Callable[..., Path]
MEMORY = 4 << 30

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each is started anew")


@pytest.fixture(autouse=True)
def ready() -> Iterator[None]:
    module.keep_ready()
    yield
    for forker in module._forkers:
        if forker is not None:
            forker.close()
    module._forkers.clear()


def server() -> psutil.Process | None:
    """The process that is kept ready, if one is."""
    found = [
        each
        for each in psutil.Process().children()
        if each.status() != psutil.STATUS_ZOMBIE and "load_server" in " ".join(each.cmdline())
    ]
    assert len(found) <= 1
    return found[0] if found else None


def tried(path: Path, waiting: Callable[[], None] = lambda: None, *, seconds: float = 60, files: Any = ()) -> Ended:
    asked = {"model": str(path), "providers": [["CPUExecutionProvider", {}]], "run": {"seconds": 60}}
    folder = str(path.parent)
    return guarded(asked, memory=MEMORY, seconds=seconds, folder=folder, descriptors=files, waiting=waiting)


def test_one_after_the_other_comes_off_one_process_that_outlives_them(tmp_path: Path, model: Model) -> None:
    path = model(tmp_path / "m.onnx")
    assert all(tried(path).first("ran") for _ in range(2))
    first = server()
    assert first is not None
    assert tried(path).first("ran")
    assert server() == first
    assert first.children() == []
    assert first.num_threads() == 1


def test_one_that_does_not_answer_is_given_up_and_replaced(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("packhouse.worker.models.forking._ANSWERS", 1.0)
    path = model(tmp_path / "m.onnx")
    assert tried(path).first("ran")
    first = server()
    assert first is not None
    first.suspend()
    assert tried(path).first("ran")
    assert not first.is_running()
    assert tried(path).first("ran")
    assert server() not in (None, first)


def test_it_has_no_way_to_the_worker_no_network_no_files_and_its_limits(tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    def look() -> None:
        for child in (server() or psutil.Process()).children():
            folder = Path(f"/proc/{child.pid}")
            limits = " ".join((folder / "limits").read_text().split())
            # The last that is limited: all that comes before it has been done.
            if "Max open files 1024 " not in limits or "Max cpu time 61 " not in limits:
                continue
            seen["limits"] = limits
            seen["files"] = [str(fd.readlink()) for fd in (folder / "fd").iterdir()]
            seen["network"] = (folder / "ns" / "net").readlink()
            seen["session"] = os.getsid(child.pid) == child.pid
            raise TimeoutError

    with pytest.raises(TimeoutError):
        tried(save_endless(tmp_path / "m.onnx"), look)
    assert not [file for file in seen["files"] if file.startswith("socket:") or file.endswith("(deleted)")]
    assert sum(file.startswith("pipe:") for file in seen["files"]) == 2
    for limit in ("Max file size 0 ", f"Max data size {MEMORY} ", "Max core file size 0 "):
        assert limit in seen["limits"]
    assert seen["session"]
    alone = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode == 0
    assert (seen["network"] != Path("/proc/self/ns/net").readlink()) >= alone


def test_after_one_that_did_not_end_by_itself_the_next_is_forked_off_a_new_process(
    tmp_path: Path, model: Model
) -> None:
    path = model(tmp_path / "m.onnx")
    assert tried(path).first("ran")
    first = server()
    assert tried(save_endless(tmp_path / "e.onnx"), seconds=1).timed_out
    assert server() is None
    assert tried(path).first("ran")
    assert server() not in (None, first)


def test_where_that_process_is_killed_the_trial_ends_and_the_next_works(tmp_path: Path, model: Model) -> None:
    pids: list[int] = []

    def kill() -> None:
        found = server()
        if found and found.children():
            pids.extend(child.pid for child in found.children())
            found.kill()

    ended = tried(save_endless(tmp_path / "e.onnx"), kill)
    assert ended.signal == "SIGKILL"
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in pids), what="its end")
    assert tried(model(tmp_path / "m.onnx")).first("ran")


def test_one_that_has_gone_meanwhile_is_replaced(tmp_path: Path, model: Model) -> None:
    path = model(tmp_path / "m.onnx")
    assert tried(path).first("ran")
    first = server()
    assert first is not None
    first.send_signal(signal.SIGKILL)
    assert all(tried(path).first("ran") for _ in range(2))
    assert server() not in (None, first)


def test_more_open_files_than_can_be_passed_on_are_tried_all_the_same(tmp_path: Path, model: Model) -> None:
    path = model(tmp_path / "m.onnx")
    files = [os.open(path, os.O_RDONLY) for _ in range(260)]
    try:
        assert tried(path, files=files).first("ran")
    finally:
        for fd in files:
            os.close(fd)


def test_a_worker_that_is_killed_takes_all_of_it_along(tmp_path: Path) -> None:
    parent = tmp_path / "parent.py"
    asked = {"model": str(save_endless(tmp_path / "m.onnx")), "providers": [], "run": {"seconds": 600}}
    parent.write_text(
        "import psutil\n"
        "from packhouse.worker.models.guarded import guarded, keep_ready\n"
        "def tell():\n"
        "    pids = [child.pid for child in psutil.Process().children(recursive=True)]\n"
        "    if len(pids) == 2: print(*pids, flush=True)\n"
        "keep_ready()\n"
        f"guarded({asked!r}, memory={MEMORY}, seconds=600, folder={str(tmp_path)!r}, waiting=tell)\n"
    )
    process = subprocess.Popen([sys.executable, str(parent)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pids = [int(pid) for pid in process.stdout.readline().split()]
    assert len(pids) == 2
    process.kill()
    process.wait(30)
    process.stdout.close()
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in pids), what="their end")
