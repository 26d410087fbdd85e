"""Who a process is, so that others can tell whether it still lives."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import uuid
from dataclasses import dataclass, replace
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
        return replace(self, process=f"{self.main} {process_mark(os.getpid())}")


def process_mark(pid: int) -> str:
    """A process id with its start time, so that a later process of the same id is not mistaken for it."""
    return f"{pid}@{_start_time(pid)}"


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
    """Host, boot and process-id namespace: within these, a process id says which process."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip())
        parts.append(str(Path("/proc/self/ns/pid").stat().st_ino))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
