"""A process of its own for a model that is not trusted: started, watched, and ended with all that it has started."""

from __future__ import annotations

import json
import os
import select
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import IO, Any, Final, Protocol, cast

from packhouse.worker.models.confine import Limits
from packhouse.worker.models.forking import Forked, Forker

_CHILD: Final = "packhouse.worker.models.load_child"
_PASSED_ON: Final = ("LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES")
"""Of the environment: where the operator has the libraries of execution providers."""
_OWN: Final = {
    "LC_ALL": "C.UTF-8",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    # Else importing it makes a database in the user's home, and threads that would be cut off by a fork.
    "ORT_DISABLE_TELEMETRY": "1",
}
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
    deadline = time.monotonic() + seconds
    # Drivers of devices may not bear a fork; and whoever passes on so many files has a large model.
    if not devices and Forker.takes(descriptors) and (forker := _forker(deadline, waiting)) is not None:
        try:
            forked = forker.fork(request, limits, folder, descriptors)
        except (OSError, ValueError):
            _retire(forker)
        else:
            return _ended(_Fork(forker, forked), deadline, waiting)
    command = [sys.executable, "-I", "-B", "-m", _CHILD, json.dumps(asdict(limits)), json.dumps(request)]
    process = subprocess.Popen(
        command,
        env=_environment(),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=tuple(descriptors),
        start_new_session=True,
    )
    return _ended(_Spawn(process), deadline, waiting)


class _Running(Protocol):
    @property
    def pid(self) -> int: ...
    @property
    def output(self) -> int: ...
    @property
    def errors(self) -> int: ...
    @property
    def handle(self) -> int | None:
        """What can be read from once it has ended, where the system has such a thing."""
        ...

    def has_ended(self) -> bool: ...

    def reap(self, *, retire: bool) -> int:
        """Its status, after it was ended."""
        ...


class _Spawn:
    """A process started anew."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pid = process.pid
        self.output, self.errors = (cast("IO[bytes]", stream).fileno() for stream in (process.stdout, process.stderr))
        self.handle = os.pidfd_open(process.pid) if hasattr(os, "pidfd_open") else None

    def has_ended(self) -> bool:
        """Without taking its status: until that is done, no other process can get its number."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None

    def reap(self, *, retire: bool) -> int:  # noqa: ARG002 (there is nothing to retire)
        if self.handle is not None:
            os.close(self.handle)
        self._process.wait()
        for stream in (self._process.stdout, self._process.stderr):
            cast("IO[bytes]", stream).close()
        return self._process.returncode


class _Fork:
    """A process forked off the one that has ONNX Runtime imported."""

    def __init__(self, forker: Forker, forked: Forked) -> None:
        self._forker = forker
        self.pid, self.handle, self.output, self.errors = forked.pid, forked.handle, forked.output, forked.errors

    def has_ended(self) -> bool:
        return bool(select.select([self.handle], [], [], 0)[0])

    def reap(self, *, retire: bool) -> int:
        for fd in (self.handle, self.output, self.errors):
            os.close(fd)
        try:
            status = self._forker.reap()
        except (OSError, ValueError):  # it was killed, and took those it had forked along
            status = -signal.SIGKILL
        if retire or status:
            # One that a model has ended may have learned of the addresses that those forked after it would have too.
            _retire(self._forker)
        return status


_forkers: list[Forker | None] = []
"""That of this process; none where it keeps none, None where it is to be started."""


def keep_ready() -> None:
    """From now on trials of this process are forked off a process that it keeps, which takes some 60 MiB."""
    _forkers[:] = [None]


def _forker(deadline: float, waiting: Callable[[], None]) -> Forker | None:
    if not _forkers:
        return None
    forker = _forkers[0]
    try:
        if forker is None:
            forker = _forkers[0] = Forker(_environment())
        forker.wait(deadline, waiting)
    except (OSError, ValueError):
        if forker is not None:
            _retire(forker)
        return None
    return forker


def _retire(forker: Forker) -> None:
    forker.close()
    if _forkers and _forkers[0] is forker:
        _forkers[0] = None


def _environment() -> dict[str, str]:
    return _OWN | {name: os.environ[name] for name in _PASSED_ON if name in os.environ}


def _ended(running: _Running, deadline: float, waiting: Callable[[], None]) -> Ended:
    status, timed_out, whole = -signal.SIGKILL, False, False
    try:
        output, errors, timed_out = _listen(running, deadline, waiting)
        whole = True
    finally:
        # By itself too: what was forked a moment ago may not have a group of its own yet.
        for end in (os.kill, os.killpg):
            with suppress(ProcessLookupError):
                end(running.pid, signal.SIGKILL)
        status = running.reap(retire=timed_out or not whole)
    return Ended(tuple(_objects(output)), status, errors.decode("utf-8", "replace"), timed_out)


def _listen(running: _Running, deadline: float, waiting: Callable[[], None]) -> tuple[bytes, bytes, bool]:
    """Both outputs until the process has ended or its time is over; of each the first MiB."""
    heard: dict[int, bytearray] = {}
    with selectors.DefaultSelector() as selector:
        for fd in (running.output, running.errors):
            heard[fd] = bytearray()
            os.set_blocking(fd, False)
            selector.register(fd, selectors.EVENT_READ)
        if running.handle is not None:
            selector.register(running.handle, selectors.EVENT_READ)
        timed_out = False
        while not running.has_ended() and not timed_out:
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
        if key.fd not in heard:  # the process has ended
            continue
        data = b""
        with suppress(BlockingIOError):
            data = os.read(key.fd, _MOST_OUTPUT)
            if not data:
                selector.unregister(key.fd)
        kept = heard[key.fd]
        kept += data[: _MOST_OUTPUT - len(kept)]


def _objects(output: bytes) -> Iterator[Mapping[str, Any]]:
    for line in output.splitlines():
        with suppress(ValueError, RecursionError):
            said = json.loads(line)
            if isinstance(said, dict):
                yield said
