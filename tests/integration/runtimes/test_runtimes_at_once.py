"""Several processes that want the same package from one cache folder."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.farm import wait_for
from support.nuget import NugetFeed
from support.wheel_index import WheelIndex

from packhouse.worker.runtimes.cache import Cache
from packhouse.worker.settings import Settings

ID = "Microsoft.ML.OnnxRuntime"
FETCH = """
import json, sys
from packhouse.worker.runtimes.store import RuntimeStore
from packhouse.worker.runtimes.target import Target
from packhouse.worker.settings import Settings
print("ready", flush=True)
store = RuntimeStore(Settings(**json.loads(sys.argv[1])))
if sys.argv[2] == "nuget":
    fetched, _ = store.nupkg("Microsoft.ML.OnnxRuntime", "1.20.1", lambda _: None)
else:
    fetched, _ = store.wheel("onnxruntime", "==1.20.1", Target("linux_x86_64", "3.11"), lambda _: None)
print(fetched.sha256)
"""


@pytest.fixture
def start(
    settings_of: Callable[..., Settings],
) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts a process that wants a package and prints its digest."""
    started: list[subprocess.Popen[str]] = []
    given = settings_of()
    told = json.dumps({name: getattr(given, name) for name in ("cache_dir", "runtime_source", "nuget_index")})

    def one(kind: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", FETCH, told, kind]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ.copy()))
        return started[-1]

    yield one
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.communicate()


@pytest.mark.full
def test_eight_processes_fetch_a_package_once(feed: NugetFeed, start: Callable[[str], subprocess.Popen[str]]) -> None:
    feed.add(ID, "1.20.1")
    feed.faults[".nupkg"] = "hang"
    processes = [start("nuget") for _ in range(8)]
    feed.wait_asked(".nupkg")
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    feed.go_on.set()
    digests = {process.communicate(timeout=60)[0] for process in processes}
    assert len(digests) == 1
    assert len(digests.pop().strip()) == 64
    assert [process.returncode for process in processes] == [0] * 8
    assert feed.asked(".nupkg") == 1


def test_a_killed_holder_blocks_nobody_and_leaves_nothing(
    feed: NugetFeed, start: Callable[[str], subprocess.Popen[str]], tmp_path: Path
) -> None:
    feed.add(ID, "1.20.1")
    feed.faults[".nupkg"] = "hang"
    first = start("nuget")
    feed.wait_asked(".nupkg")
    second = start("nuget")
    del feed.faults[".nupkg"]
    first.send_signal(signal.SIGKILL)
    assert len(second.communicate(timeout=60)[0].split()[-1]) == 64
    assert feed.asked(".nupkg") == 2
    with Cache(tmp_path / "cache" / "runtimes", 1).workspace():
        assert len(list((tmp_path / "cache" / "runtimes" / "work").iterdir())) == 2


def test_pip_dies_with_the_process_that_called_it(
    index: WheelIndex, start: Callable[[str], subprocess.Popen[str]]
) -> None:
    import psutil

    index.add("onnxruntime", "1.20.1")
    index.faults[".whl"] = "hang"
    process = start("python")
    index.wait_asked(".whl")
    (pip,) = psutil.Process(process.pid).children()
    process.kill()
    wait_for(lambda: not pip.is_running() or pip.status() == psutil.STATUS_ZOMBIE, what="pip to end")
