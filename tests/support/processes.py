"""Which processes there are, read from the kernel."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil


def processes_in(folder: Path) -> list[str]:
    """Every process, zombies aside, that works in the folder or below it, as pid and command."""
    found: list[str] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()).is_relative_to(folder):
                found.append(f"{process.pid} {' '.join(process.cmdline())}")
    return found


def family(pid: int) -> list[psutil.Process]:
    """A process and all that descend from it."""
    return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; a process id that was given to another process does not count."""
    return [one for one in processes if one.is_running() and _status(one) != psutil.STATUS_ZOMBIE]


def _status(process: psutil.Process) -> str:
    try:
        return process.status()
    except psutil.NoSuchProcess:
        return psutil.STATUS_ZOMBIE
