"""A process that the stack keeps alive."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

_TETHER: Final = str(Path(__file__).with_name("tether.py"))
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 30.0
_RAN_WELL: Final = 30.0


class Child:
    """A process that is started again when it dies, after a pause that grows while it keeps dying.

    It leads a process group of its own, so that Ctrl-C reaches only the stack, which then stops things in order. It
    must be started by a thread that lives as long as the stack: the kernel ends it with the thread that started it.
    """

    def __init__(
        self, name: str, command: Sequence[str], *, environment: Mapping[str, str], folder: Path, log: Path
    ) -> None:
        self.name = name
        self.deaths = 0
        """How often it died by itself."""
        self._command = list(command)
        self._environment = dict(environment)
        self._folder = folder
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._pause = _FIRST_PAUSE
        self._due = 0.0

    @property
    def pid(self) -> int | None:
        """Its process id, while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start the process; what it prints goes to the end of its log."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", _TETHER, str(os.getpid()), *self._command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env=self._environment,
                start_new_session=True,
            )
        self._started = time.monotonic()

    def look_after(self, say: Callable[[str], None]) -> None:
        """Start the process again if it died and its pause is over; says so in one line when it died."""
        now = time.monotonic()
        if self._process is None:
            if now >= self._due:
                self.start()
            return
        code = self._process.poll()
        if code is None:
            return
        self._sweep()
        self.deaths += 1
        if now - self._started >= _RAN_WELL:
            self._pause = _FIRST_PAUSE
        self._due = now + self._pause
        say(f"{self.name} ended ({_ending(code)}): starting it again in {self._pause:.1f} s. Its log is {self._log}")
        self._pause = min(_LONGEST_PAUSE, self._pause * 2)
        self._process = None

    def ask_to_stop(self) -> None:
        """Send SIGTERM."""
        if self._process and self._process.poll() is None:
            self._process.terminate()

    def end(self, seconds: float, hurry: Callable[[], bool] = lambda: False) -> bool:
        """Wait so long for the process to end, then kill it and what it left. Returns whether it ended by itself."""
        if self._process is None:
            return True
        deadline = time.monotonic() + seconds
        while (alive := self._process.poll() is None) and time.monotonic() < deadline and not hurry():
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.05)
        self._sweep()
        self._process.wait()
        self._process = None
        return not alive

    def _sweep(self) -> None:
        """Kill what is left of the process group."""
        assert self._process is not None  # noqa: S101 (only called with a process)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit status {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
