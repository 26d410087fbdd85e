"""What a process took for an action, told on its standard output. Interpreters that have nothing of ours run it."""

import json
import resource
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def tell(action: Callable[[], object]) -> None:
    """Do it, and print as JSON what it took: seconds, bytes, and memory over what the process had before."""
    with suppress(OSError):  # the highest so far is now: what imports took for a moment does not count
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    idle, counted, cpu, wall = _highest(), _counted(), _cpu(), time.perf_counter()
    action()
    wall, cpu = time.perf_counter() - wall, _cpu() - cpu
    read, written = (now - before for now, before in zip(_counted(), counted))  # noqa: B905 (for old Pythons)
    sys.stdout.write(
        json.dumps({"wall": wall, "cpu": cpu, "read": read, "written": written, "peak": _highest() - idle}) + "\n"
    )


def _cpu() -> float:
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _counted() -> tuple[int, int]:
    io = _fields("/proc/self/io")
    return int(io["rchar"]), int(io["wchar"])


def _highest() -> int:
    return int(_fields("/proc/self/status")["VmHWM"].split()[0]) * 1024


def _fields(path: str) -> dict[str, str]:
    return dict(line.split(":", 1) for line in Path(path).read_text(encoding="utf-8").splitlines())
