"""Who a process is, so that others can tell whether it still lives."""

from __future__ import annotations

import hashlib
import os
import socket
import uuid
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class Identity:
    """A worker process and, within it, the process at work."""

    worker: str
    """Unique for every start of a worker; its pool processes share it."""
    name: str
    """What people call the worker: Celery's node name."""
    place: str
    """Processes of the same place can see each other's process ids."""
    main: str
    """The worker's main process: id and start time."""
    process: str
    """``main`` and the process at work, as ``<main> <process>``."""

    @classmethod
    def of_worker(cls, name: str) -> Self:
        """The identity of a worker that starts now, in its main process."""
        main = process_mark(os.getpid())
        return cls(uuid.uuid4().hex, name, place(), main, f"{main} {main}")

    def here(self) -> Identity:
        """The identity of this process of the worker."""
        return replace(self, process=f"{self.main} {_mark_of_this(os.getpid())}")


def process_mark(pid: int) -> str:
    """A process id with its start time, so that a later process of the same id is not mistaken for it."""
    return f"{pid}@{_start_time(pid)}"


@cache
def _mark_of_this(pid: int) -> str:
    return process_mark(pid)


def is_alive(mark: str) -> bool:
    """Whether the process of a mark of this place still runs. A zombie does not."""
    pid, _, started = mark.partition("@")
    return pid.isdigit() and _start_time(int(pid)) == started


def _start_time(pid: int) -> str:
    """Clock ticks from boot to the start of the process, from field 22 of ``/proc/<pid>/stat``; ``gone`` without it."""
    try:
        # The second field is the program's name in parentheses and may hold anything: count from its end.
        state, *fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return "gone"
    return "gone" if state in ("Z", "X") else fields[18]


def place() -> str:
    """Within a place, a process id and a start time say which process: host, boot, user and namespaces are the same.

    Where that cannot be told, every worker has a place of its own: what it loses, others find by the end of its lease.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        # Start times are told by the clock of the time namespace; of other users' processes, nothing may be shown.
        spaces = [_namespace(name) for name in ("pid", "time", "user")]
        seen_as = Path("/proc/self").readlink().name
    except OSError:
        return uuid.uuid4().hex[:16]
    if seen_as != str(os.getpid()):
        # The processes that are seen are those of another namespace, under ids that mean others here.
        return uuid.uuid4().hex[:16]
    parts = [socket.gethostname(), boot, str(os.getuid()), *spaces]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _namespace(name: str) -> str:
    """Number of a namespace of this process; empty where the kernel has none of that kind."""
    path = Path(f"/proc/self/ns/{name}")
    return str(path.stat().st_ino) if path.exists() else ""
