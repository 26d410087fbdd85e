"""A process of its own for a model that is not trusted: started, watched, and ended with all that it has started."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import IO, Any, Final, cast

from packhouse.worker.models.confine import Limits

_CHILD: Final = "packhouse.worker.models.load_child"
_PASSED_ON: Final = ("LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES")
"""Of the environment: where the operator has the libraries of execution providers."""
_OWN: Final = {"LC_ALL": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
_LIBRARIES: Final = 2 << 30
"""Addresses for libraries, the stacks of threads, and files that are mapped."""
_TICK: Final = 0.2
_MOST_OUTPUT: Final = 1 << 20


@dataclass(frozen=True)
class Ended:
    """What a process said, and how it ended."""

    said: tuple[Mapping[str, Any], ...]
    """The objects that it wrote, one a line, in order. Whatever else it wrote is left out."""
    status: int
    """As of ``subprocess``: negative for a signal."""
    errors: str
    """What it wrote as errors, at most a MiB."""
    timed_out: bool = False
    """Whether it was ended because its time was over."""

    def first(self, key: str) -> Mapping[str, Any] | None:
        """The first object that has a key."""
        return next((each for each in self.said if key in each), None)

    @property
    def signal(self) -> str | None:
        """Name of the signal that ended it by itself, if one did."""
        if self.status >= 0 or self.timed_out:
            return None
        try:
            return signal.Signals(-self.status).name
        except ValueError:
            return f"signal {-self.status}"

    @property
    def without_an_answer(self) -> str:
        """A clause about a process that ended before it told what it was asked."""
        if self.signal is not None:
            return f"it made ONNX Runtime end with {self.signal}"
        lines = self.errors.splitlines()
        return f"the process ended with status {self.status}: {lines[-1] if lines else 'no message'}"


def guarded(
    request: Mapping[str, Any],
    *,
    memory: int,
    seconds: float,
    folder: str,
    devices: bool = False,
    descriptors: Sequence[int] = (),
    waiting: Callable[[], None] = lambda: None,
) -> Ended:
    """Let a process do what ``load_child`` is asked for, in a folder.

    ``memory`` is bytes, see ``confine.Limits``; ``seconds`` bound both the time and the time of processors; with
    ``devices`` drivers may reserve addresses as they like; ``descriptors`` stay open in it under their numbers;
    ``waiting`` is called several times a second, and what it raises ends the process. It sees next to nothing of the
    environment, and dies with this one.
    """
    limits = Limits(memory, None if devices else memory + _LIBRARIES, int(seconds) + 1, os.getpid())
    command = [sys.executable, "-I", "-B", "-m", _CHILD, json.dumps(asdict(limits)), json.dumps(request)]
    process = subprocess.Popen(
        command,
        env=_OWN | {name: os.environ[name] for name in _PASSED_ON if name in os.environ},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=tuple(descriptors),
        start_new_session=True,
    )
    timed_out = False
    try:
        output, errors, timed_out = _listen(process, time.monotonic() + seconds, waiting)
    finally:
        _end(process)
    return Ended(tuple(_objects(output)), process.returncode, errors.decode("utf-8", "replace"), timed_out)


def _listen(
    process: subprocess.Popen[bytes], deadline: float, waiting: Callable[[], None]
) -> tuple[bytes, bytes, bool]:
    """Both outputs until the process has ended or its time is over; of each the first MiB."""
    heard: dict[int, bytearray] = {}
    with selectors.DefaultSelector() as selector:
        for stream in (process.stdout, process.stderr):
            fd = cast("IO[bytes]", stream).fileno()
            heard[fd] = bytearray()
            os.set_blocking(fd, False)
            selector.register(fd, selectors.EVENT_READ)
        timed_out = False
        while not _has_ended(process) and not timed_out:
            _hear(selector, heard, _TICK)
            waiting()
            timed_out = time.monotonic() > deadline
        _hear(selector, heard, 0)
    output, errors = heard.values()
    return bytes(output), bytes(errors), timed_out


def _hear(selector: selectors.BaseSelector, heard: dict[int, bytearray], seconds: float) -> None:
    if not selector.get_map():
        time.sleep(seconds)
        return
    for key, _ in selector.select(seconds):
        data = b""
        with suppress(BlockingIOError):
            data = os.read(key.fd, _MOST_OUTPUT)
            if not data:
                selector.unregister(key.fd)
        kept = heard[key.fd]
        kept += data[: _MOST_OUTPUT - len(kept)]


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Without taking its status: until that is done, no other process can get its number."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdout, process.stderr):
        cast("IO[bytes]", stream).close()


def _objects(output: bytes) -> Iterator[Mapping[str, Any]]:
    for line in output.splitlines():
        with suppress(ValueError, RecursionError):
            said = json.loads(line)
            if isinstance(said, dict):
                yield said
