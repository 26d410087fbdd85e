"""What a process that opens a strange model gives up before it does: run in that process, first of all."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from packhouse.worker.parent import die_with

_PR_SET_NO_NEW_PRIVS: Final = 38
_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000
_FILES: Final = 1024


@dataclass(frozen=True)
class Limits:
    """What the process may use."""

    memory: int
    """Bytes that it may have for itself: what is reserved counts, files that are only read and libraries do not."""
    address_space: int | None
    """Bytes of addresses, whatever is there; None for no limit. The drivers of devices reserve far more than they use.
    """
    cpu_seconds: int
    parent: int
    """Process id of whom it belongs to."""

    @classmethod
    def of(cls, given: dict[str, Any]) -> Limits:
        """As they were passed on."""
        addresses = given["address_space"]
        addresses = None if addresses is None else int(addresses)
        return cls(int(given["memory"]), addresses, int(given["cpu_seconds"]), int(given["parent"]))


def confine(limits: Limits) -> None:
    """Die with the parent, write no file, reach no network, keep to the limits.

    Where the system cannot do one of these (another system than Linux, a container that forbids namespaces), the others
    remain. Processes are not limited: the number that Linux counts is that of the whole user.
    """
    isolate(limits.parent)
    _limit(resource.RLIMIT_DATA, limits.memory)
    if limits.address_space is not None:
        _limit(resource.RLIMIT_AS, limits.address_space)
    _limit(resource.RLIMIT_CPU, limits.cpu_seconds)
    _limit(resource.RLIMIT_NOFILE, _FILES)


def isolate(parent: int) -> None:
    """Die with the parent, write no file, reach no network: what a process gives up that needs no limits otherwise."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        # In a user namespace of its own, root would lose the right to open others' files, and needs none.
        libc.unshare(_CLONE_NEWNET if os.geteuid() == 0 else _CLONE_NEWNET | _CLONE_NEWUSER)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        die_with(parent)
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000", "ascii")
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)


def _limit(what: int, value: int) -> None:
    _, hard = resource.getrlimit(what)
    most = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(what, (most, most))
