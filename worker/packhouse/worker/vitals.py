"""What a worker says of itself, in a file of its own, and what a probe makes of it.

The probe is run every few seconds in a new process: this module uses nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

from packhouse.worker.identity import Identity, is_alive

RUN_DIR: Final = "PACKHOUSE_RUN_DIR"

_SUFFIX: Final = ".vitals"
_UNFINISHED: Final = ".new"
_RECENT: Final = 10.0
"""Seconds after which a server that did not answer counts as away."""
_SILENT: Final = 24 * 3600.0
"""Seconds after which a worker of another place, of whose processes nothing can be seen, is taken for gone.

It writes its vitals each second, and anew where they are missing.
"""


@dataclass(frozen=True)
class Limits:
    """Seconds after which a state that may be normal for a moment is a fault."""

    hang: float
    """Without a turn of the main loop or of a thread, or without a word of the worker at all."""
    away: float
    """Without an answer of the server, or without Celery's connection to it."""
    drain: float
    """From the wish to stop to the end of the process."""


@dataclass(frozen=True)
class Vitals:
    """The state of a worker. All times are of the monotonic clock, which processes of one machine share, in seconds."""

    worker: str
    name: str
    place: str
    main: str
    limits: Limits
    roots: tuple[str, ...]
    written: float
    looped: float
    """The last turn of the main loop."""
    threads: dict[str, float]
    """The last turn of each thread; 0 for one that has ended."""
    answered: float
    """The last answer of the server."""
    back: float
    """When the server answered again after an absence: hangs are counted from there."""
    disconnected: float | None
    """Since when Celery has had no connection."""
    draining: float | None
    """Since when the worker has been stopping."""
    registered: bool
    """Whether the ledger knows the worker."""

    @classmethod
    def read(cls, file: Path) -> Self:
        """What a file says. Raises ``OSError``, ``ValueError``, ``KeyError`` or ``TypeError``."""
        data: dict[str, Any] = json.loads(file.read_bytes())
        data["limits"] = Limits(**data["limits"])
        data["roots"] = tuple(data["roots"])
        return cls(**data)

    def write(self, folder: Path) -> None:
        """Put it where a probe finds it, whole. Raises ``OSError``."""
        file = folder / f"{self.worker}{_SUFFIX}"
        fresh = file.with_suffix(_UNFINISHED)
        fresh.write_text(json.dumps(asdict(self)), "utf-8")
        fresh.replace(file)

    def fault(self, now: float, *, alive: Callable[[str], bool] = is_alive) -> str | None:
        """Why the worker should be started anew, or None. A busy worker has no fault, a hung one has."""
        limits = self.limits
        if not alive(self.main):
            return "its main process is gone"
        if now - self.written > limits.hang:
            return f"it has said nothing for {now - self.written:.0f} s: it hangs, or was stopped"
        if self.draining is not None:
            # The main loop has ended; kill what does not end either.
            late = now - self.draining > limits.drain
            return f"it was told to stop {now - self.draining:.0f} s ago and has not ended" if late else None
        if now - self.answered > limits.away:
            return f"the server has not answered for {now - self.answered:.0f} s"
        if self.disconnected is not None and now - self.disconnected > limits.away:
            return f"Celery has had no connection to the server for {now - self.disconnected:.0f} s"
        if self._server_is_away(now):
            return None
        return self._hang()

    def _hang(self) -> str | None:
        # As of the writing: in a process that was stopped as a whole nothing in particular hangs.
        hang, then = self.limits.hang, self.written
        if self.disconnected is None and then - max(self.looped, self.back) > hang:
            return f"its main loop has not turned for {then - self.looped:.0f} s"
        for title, turned in self.threads.items():
            if not turned:
                return f"its thread {title} has ended"
            if then - max(turned, self.back) > hang:
                return f"its thread {title} has not turned for {then - turned:.0f} s"
        return None

    def unreadiness(self, now: float) -> str | None:
        """Why the worker cannot take work right now, or None. Looks at the storage roots, which may take its time."""
        if self.draining is not None:
            return f"it is stopping, for {now - self.draining:.0f} s"
        if self._server_is_away(now):
            return f"the server has not answered for {now - self.answered:.0f} s"
        if self.disconnected is not None:
            return "Celery has no connection to the server yet, or no more"
        if not self.registered:
            return "the ledger does not know it yet"
        for root in self.roots:
            if not os.access(root, os.R_OK | os.X_OK) or not Path(root).is_dir():
                return f"the storage root {root} is not there or cannot be read"
        return None

    def _server_is_away(self, now: float) -> bool:
        return now - self.answered > _RECENT


@dataclass(frozen=True)
class Answer:
    """What a probe says."""

    healthy: bool
    line: str


def run_dir(told: str | None = None) -> Path:
    """Where workers of this user put their files."""
    return Path(told) if told else Path(tempfile.gettempdir()) / f"packhouse-{os.getuid()}"


def make_run_dir(folder: Path, identity: Identity) -> None:
    """See that the folder is there and ours alone to write, and forget workers that are gone. Raises ``OSError``."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = folder.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid():
        # In a folder that all may write, anybody could have made it before us.
        raise PermissionError(f"{folder} is not this user's own folder")
    for file in folder.glob(f"*{_SUFFIX}"):
        with contextlib.suppress(OSError):
            if _is_of_nobody(file, identity.place):
                file.unlink()
    for file in folder.glob(f"*{_UNFINISHED}"):
        with contextlib.suppress(OSError):
            if is_old(file):
                file.unlink()


def heard_of(folder: Path) -> set[tuple[str, str]]:
    """Place and main process of every worker that has vitals in a run directory."""
    return {(one.place, one.main) for one in _all_in(folder)}


def is_old(path: Path) -> bool:
    """Whether a file or folder was last changed so long ago that no worker has it. Raises ``OSError``."""
    return time.time() - path.stat().st_mtime > _SILENT


def _is_of_nobody(file: Path, here: str) -> bool:
    try:
        found = Vitals.read(file)
    except (ValueError, KeyError, TypeError):
        return is_old(file)
    return not is_alive(found.main) if found.place == here else is_old(file)


def _all_in(folder: Path) -> list[Vitals]:
    found: list[Vitals] = []
    for file in sorted(folder.glob(f"*{_SUFFIX}")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            found.append(Vitals.read(file))
    return found


def probe(folder: Path, place: str, *, ready: bool, now: float | None = None) -> Answer:
    """Look at all workers of this place that use the folder: healthy if each of them is."""
    now = time.monotonic() if now is None else now
    here = [one for one in _all_in(folder) if one.place == place]
    # What a killed worker left behind counts only where no other has come in its place.
    workers = [one for one in here if is_alive(one.main)] or here[:1]
    what = "ready" if ready else "alive"
    if not workers:
        return Answer(healthy=False, line=f"not {what}: no worker has said anything in {folder}")
    for one in workers:
        why = one.fault(now) or (one.unreadiness(now) if ready else None)
        if why:
            return Answer(healthy=False, line=f"not {what}: {one.name}: {why}")
    return Answer(healthy=True, line=f"{what}: {', '.join(one.name for one in workers)}")
