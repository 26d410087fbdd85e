"""The process that a strange model is opened in: what it may do, and when it ends."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.endless import save_endless
from support.farm import wait_for

from packhouse.schemas.checks import CheckState
from packhouse.schemas.files import InferenceConfig
from packhouse.worker.models.confine import Limits
from packhouse.worker.models.guarded import Ended, _forkers, guarded, keep_ready
from packhouse.worker.models.parts import OnnxMain, SourceFile
from packhouse.worker.models.scratch import Laid, laid_out
from packhouse.worker.models.session_settings import allowed
from packhouse.worker.models.trial import Trial, tried
from packhouse.worker.storage.local import Roots
from packhouse.worker.storage.location import Location
from packhouse.worker.storage.storage import Storage

Model = Callable[..., Path]
CPU = "CPUExecutionProvider"
MEMORY = 8 << 30


def request(path: Path) -> dict[str, Any]:
    return {"model": str(path), "providers": [[CPU, {}]]}


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def trial(**more: Any) -> Trial:
    settings = allowed(InferenceConfig(execution_provider=[(CPU, {})], session_options={}))
    whole = Trial(OnnxMain("model.onnx"), settings, memory=4 << 30, seconds=60, run=True)
    return dataclasses.replace(whole, **more)


def found(folder: Path, **names: str) -> list[SourceFile]:
    files: list[SourceFile] = []
    for relative, here in names.items():
        path = folder / here
        name = relative.replace("_", ".")
        status = path.stat()
        files.append(SourceFile(name, Location(str(path), str(path)), status.st_size, str(status.st_mtime_ns)))
    return files


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.fixture(params=["started", "forked"])
def laid(tmp_path: Path, scratch: Path, model: Model, request: pytest.FixtureRequest) -> Iterator[tuple[Laid, Path]]:
    """A model with external data, laid out; and the folder that it lies in itself."""
    if request.param == "forked":
        keep_ready()
    path = model(tmp_path / "m" / "some.onnx", external="w.bin")
    files = found(path.parent, model_onnx="some.onnx", w_bin="w.bin")
    storage = Storage(Roots([str(tmp_path)]))
    with laid_out(files, "model.onnx", storage, scratch=str(scratch), most_copied=0, advance=lambda _: None) as there:
        yield there, path.parent
    for forker in _forkers:
        if forker is not None:
            forker.close()
    _forkers.clear()


def test_what_is_tried_is_what_was_opened_whatever_has_become_of_its_path(laid: tuple[Laid, Path]) -> None:
    there, folder = laid
    for name in ("some.onnx", "w.bin"):
        (folder / name).rename(folder / f"{name}.moved")
        (folder / name).write_bytes(b"put in its place")
    assert tried(trial(), there, lambda: None).verdict.state is CheckState.PASSED


def test_what_was_removed_or_written_to_meanwhile_has_not_failed(laid: tuple[Laid, Path]) -> None:
    there, folder = laid
    (folder / "w.bin").unlink()
    outcome = tried(trial(), there, lambda: None)
    assert outcome.verdict.state is CheckState.INCONCLUSIVE
    assert "removed" in (outcome.verdict.reason or "")


def test_a_process_that_hangs_is_ended_when_its_time_is_over(tmp_path: Path) -> None:
    before = children()
    stopped: set[int] = set()

    def stop() -> None:
        for pid in children() - before:
            os.kill(pid, signal.SIGSTOP)
            stopped.add(pid)

    save_endless(tmp_path / "model.onnx")
    outcome = tried(trial(seconds=2), Laid(str(tmp_path), (), (), ()), stop)
    assert outcome.verdict.state in (CheckState.NOT_CHECKED, CheckState.INCONCLUSIVE)
    assert stopped
    assert children() == before


@pytest.mark.parametrize("content", [b"", b"text", b"\x08\x08:\x02\n\x00"])
def test_what_does_not_load_is_told_in_a_short_text_without_the_folder(
    laid: tuple[Laid, Path], tmp_path: Path, content: bytes
) -> None:
    """Files beside the model may be there too: then they are where they are, and nothing is linked."""
    (tmp_path / "model.onnx").write_bytes(content)
    verdict = tried(trial(), Laid(str(tmp_path), (), (), ()), lambda: None).verdict
    assert verdict.state is CheckState.FAILED
    assert str(tmp_path) not in (verdict.reason or "")
    assert 10 < len(verdict.reason or "") < 600


def test_it_sees_no_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACKHOUSE_SECRET", "x")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/drivers")
    child = tmp_path / "python"
    child.write_text(f"#!{sys.executable} -I\nimport json, os\nprint(json.dumps({{'started': sorted(os.environ)}}))\n")
    child.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(child))
    (told,) = guarded({}, memory=MEMORY, seconds=60, folder=str(tmp_path)).said
    own = {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ORT_DISABLE_TELEMETRY"}
    assert set(told["started"]) <= {"LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH"} | own


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a process to its parent")
def test_it_refuses_to_outlive_its_parent(tmp_path: Path, model: Model) -> None:
    limits = json.dumps(dataclasses.asdict(Limits(MEMORY, None, 60, os.getpid() + 1)))
    child = [sys.executable, "-I", "-m", "packhouse.worker.models.load_child", limits]
    asked = json.dumps(request(model(tmp_path / "m.onnx")))
    done = subprocess.run([*child, asked], capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (1, b"")


def test_what_waits_is_called_again_and_again(tmp_path: Path, model: Model) -> None:
    calls: list[float] = []
    guarded(
        request(model(tmp_path / "m.onnx")),
        memory=MEMORY,
        seconds=60,
        folder=str(tmp_path),
        waiting=lambda: calls.append(time.monotonic()),
    )
    assert calls


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a process to its parent")
def test_a_parent_that_is_killed_takes_it_along(tmp_path: Path) -> None:
    asked = request(save_endless(tmp_path / "m.onnx")) | {"run": {"seconds": 600}}
    parent = tmp_path / "parent.py"
    parent.write_text(
        "import psutil\n"
        "from packhouse.worker.models.guarded import guarded\n"
        "def tell():\n"
        "    print(*(child.pid for child in psutil.Process().children()), flush=True)\n"
        f"guarded({asked!r}, memory={MEMORY}, seconds=600, folder={str(tmp_path)!r}, waiting=tell)\n"
    )
    process = subprocess.Popen([sys.executable, str(parent)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    assert psutil.pid_exists(child)
    process.kill()
    process.wait(30)
    process.stdout.close()
    wait_for(lambda: not psutil.pid_exists(child), what="the child's end")


CONFINED = """
import ctypes, json, os, resource, socket, sys
from packhouse.worker.models.confine import Limits, confine
own = os.fork()
if own == 0:
    flags = 0x40000000 if os.geteuid() == 0 else 0x50000000
    os._exit(0 if ctypes.CDLL(None).unshare(flags) == 0 else 1)
alone = os.waitpid(own, 0)[1] == 0
confine(Limits.of(json.loads(sys.argv[1])))
def works(what):
    try:
        what()
    except OSError:
        return False
    return True
def write():
    with open(sys.argv[3], "wb", 0) as file:
        file.write(b"x")
def allocate():
    try:
        bytearray(4 << 30)
    except MemoryError:
        raise OSError from None
print(json.dumps({
    "alone": alone,
    "connects": works(lambda: socket.create_connection(("127.0.0.1", int(sys.argv[2])), 5)),
    "writes": works(write),
    "allocates": works(allocate),
    "core": resource.getrlimit(resource.RLIMIT_CORE)[1],
}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux's")
def test_it_reaches_no_network_writes_no_file_and_keeps_to_its_memory(tmp_path: Path) -> None:
    """The network is closed wherever the system lets a process have one of its own, and the others hold anyway."""
    limits = json.dumps(dataclasses.asdict(Limits(2 << 30, None, 60, os.getpid())))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        command = [sys.executable, "-I", "-c", CONFINED, limits, port, str(tmp_path / "file")]
        done = subprocess.run(command, capture_output=True, check=False, timeout=60, text=True)
    told = json.loads(done.stdout)
    assert told["connects"] is not told.pop("alone"), done.stderr
    told.pop("connects")
    assert told == {"writes": False, "allocates": False, "core": 0}


@pytest.mark.parametrize(
    ("ended", "state", "words"),
    [
        (Ended(({"started": [CPU]},), -signal.SIGSEGV, ""), CheckState.FAILED, "SIGSEGV"),
        (Ended(({"started": [CPU]},), -signal.SIGABRT, "what():  std::bad_alloc"), CheckState.INCONCLUSIVE, "memory"),
        (Ended(({"started": [CPU]},), -signal.SIGKILL, ""), CheckState.INCONCLUSIVE, "SIGKILL"),
        (Ended(({"started": [CPU]},), -signal.SIGXCPU, ""), CheckState.INCONCLUSIVE, "SIGXCPU"),
        (Ended(({"started": [CPU]},), -signal.SIGKILL, "", timed_out=True), CheckState.INCONCLUSIVE, "within 60"),
        (Ended((), 1, "ImportError: no onnxruntime"), CheckState.NOT_CHECKED, "ImportError"),
        (Ended((), -signal.SIGKILL, "", timed_out=True), CheckState.NOT_CHECKED, "too long"),
        (
            Ended(({"started": [CPU]}, {"not_loaded": "[E] : 1 : FAIL : bad allocation", "on": CPU}), 0, ""),
            CheckState.INCONCLUSIVE,
            "memory",
        ),
        (
            Ended(({"started": [CPU]}, {"not_loaded": "[E] : 7 : INVALID_PROTOBUF", "on": CPU}), 0, ""),
            CheckState.FAILED,
            "INVALID_PROTOBUF",
        ),
        (Ended(({"started": [CPU]}, {"loaded": [CPU]}), -signal.SIGSEGV, ""), CheckState.INCONCLUSIVE, "It loads"),
    ],
)
def test_how_the_process_ended_makes_the_verdict(
    laid: tuple[Laid, Path], monkeypatch: pytest.MonkeyPatch, ended: Ended, state: CheckState, words: str
) -> None:
    monkeypatch.setattr("packhouse.worker.models.trial.guarded", lambda *_, **__: ended)
    verdict = tried(trial(), laid[0], lambda: None).verdict
    assert verdict.state is state
    assert words in (verdict.reason or "")
    assert re.fullmatch(r"[A-Z].*[.…]", verdict.reason or "")


def test_a_process_that_talks_without_end_takes_no_memory_here(tmp_path: Path, monkeypatch) -> None:
    child = tmp_path / "python"
    child.write_text(f"#!{sys.executable} -I\nwhile True: print('x' * 65536)\n")
    child.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(child))
    before = psutil.Process().memory_info().rss
    ended = guarded({}, memory=MEMORY, seconds=2, folder=str(tmp_path))
    assert ended.timed_out
    assert psutil.Process().memory_info().rss - before < 32 << 20


def test_a_folder_left_behind_by_a_killed_process_is_removed_and_one_in_use_is_not(
    tmp_path: Path, scratch: Path, model: Model
) -> None:
    dead, alive, fresh = (scratch / f"packhouse-check-{name}" for name in ("dead", "alive", "fresh"))
    for folder in (dead, alive, fresh):
        folder.mkdir()
        (folder / "model.onnx").write_bytes(b"x")
    for folder in (dead, alive):
        os.utime(folder, (1, 1))
    (scratch / "packhouse-check-link").symlink_to(tmp_path / "m")
    lock = os.open(alive, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        files = found(model(tmp_path / "m" / "some.onnx").parent, model_onnx="some.onnx")
        storage = Storage(Roots([str(tmp_path)]))
        with laid_out(files, "model.onnx", storage, scratch=str(scratch), most_copied=0, advance=lambda _: None):
            assert not dead.exists()
            assert alive.exists()
            assert fresh.exists()
        assert (tmp_path / "m" / "some.onnx").exists()
    finally:
        os.close(lock)
