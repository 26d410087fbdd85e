"""Wheels by ``pip download``: from the index that pip is configured with, or from a folder. Nothing in them is run."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from packhouse.worker.runtimes.failures import Absent, NotHad, Outage
from packhouse.worker.runtimes.target import Target
from packhouse.worker.storage.blob.failures import scrub

log = logging.getLogger(__name__)

_CHILD: Final = "packhouse.worker.runtimes.pip_child"
_POLL: Final = 0.2
_LONGEST_LOG: Final = 8 << 20
_TOLD: Final = 1000
_PASSED: Final = re.compile(
    r"PIP_\w+|(HTTPS?|ALL|NO)_PROXY|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|NETRC"
    r"|HOME|USER|LOGNAME|PATH|LANG|LC_\w+|XDG_CONFIG_\w+",
    re.IGNORECASE,
)
"""What of the worker's environment pip sees: how it is configured, and none of the worker's secrets."""
_FULL: Final = re.compile(r"No space left|Disk quota")
_LARGE: Final = "File too large"
_OUTAGE: Final = re.compile(
    r"connection broken|connection error|Could not fetch URL[^\n]*: (408|429|5\d\d)|HTTP error (408|429|5\d\d)"
    r"|timed out|Max retries|IncompleteRead|incomplete-download|NewConnectionError|ConnectionError|ProtocolError"
    r"|Connection aborted|Connection reset"
)
_OTHER: Final = re.compile(r"has (inconsistent|invalid) (name|version|metadata)|has invalid metadata")
_DAMAGED: Final = re.compile(r"DO NOT MATCH THE HASHES|hash-mismatch|Wheel '.*' (located at .* )?is invalid|BadZipFile")


@dataclass(frozen=True)
class Pip:
    """How pip is called."""

    seconds: float
    """The longest that one call may take."""
    most: int
    """Bytes of the largest file that it may write."""
    folder: str | None = None
    """Where wheels are taken from instead of the index."""
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    """Of which pip sees what configures it."""

    def download(self, requirement: str, target: Target, into: Path, beat: Callable[[int], None]) -> Path:
        """The best wheel for a requirement on a target, put into an empty folder. Raises ``Absent`` and ``Outage``."""
        output, wheels = into / "output", into / "wheels"
        wheels.mkdir()
        command = [
            sys.executable, "-I", "-m", _CHILD, str(os.getpid()), str(self.most),
            "download", "-vv", "--no-input", "--no-color", "--progress-bar", "off", "--disable-pip-version-check",
            "--no-cache-dir", "--no-deps", "--only-binary", ":all:", "--python-version", target.python,
            *(word for tag in target.tags for word in ("--platform", tag)),
            *self._sources(), "--dest", str(wheels), "--", requirement,
        ]  # fmt: skip
        with output.open("wb") as out:
            process = subprocess.Popen(
                command,
                env=self._environment(into),
                cwd=into,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
            try:
                status = self._wait(process, into, beat)
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
        found = sorted(wheels.iterdir())
        if status == 0 and len(found) == 1:
            return found[0]
        with output.open("rb") as file:
            raise _failure(file.read(_LONGEST_LOG).decode("utf-8", "replace"), requirement, target, status)

    def _wait(self, process: subprocess.Popen[bytes], into: Path, beat: Callable[[int], None]) -> int:
        deadline, seen = time.monotonic() + self.seconds, 0
        while True:
            try:
                return process.wait(_POLL)
            except subprocess.TimeoutExpired:
                if time.monotonic() > deadline:
                    raise Outage(f"Fetching it took longer than {self.seconds:.0f} s.") from None
            size = _bytes_in(into)
            beat(max(0, size - seen))
            seen = max(seen, size)

    def _sources(self) -> list[str]:
        if self.folder is None:
            return []
        # The folder may be one of a package: what was packed once is fit to be packed again.
        places = (self.folder, os.path.join(self.folder, "python"))  # noqa: PTH118 (as the setting spells it)
        return ["--no-index", *(word for place in places if os.path.isdir(place) for word in ("--find-links", place))]  # noqa: PTH112

    def _environment(self, into: Path) -> dict[str, str]:
        passed = {name: value for name, value in self.environment.items() if _PASSED.fullmatch(name)}
        if self.folder is not None:
            passed = {name: value for name, value in passed.items() if not name.upper().startswith("PIP_")}
            passed["PIP_CONFIG_FILE"] = os.devnull
        return passed | {"TMPDIR": str(into), "LC_ALL": "C.UTF-8"}


def _bytes_in(folder: Path) -> int:
    """Of wheels, those that are not whole yet included. pip moves its files and removes its folders meanwhile."""
    total = 0
    for parent, _, names in os.walk(folder):  # unlike rglob, it goes on where a folder has vanished
        for name in names:
            if name.endswith(".whl"):
                with contextlib.suppress(FileNotFoundError):
                    total += (Path(parent) / name).stat().st_size
    return total


def _failure(output: str, requirement: str, target: Target, status: int) -> NotHad:
    """What pip's words mean. They are for the log alone: they hold addresses, now and then with a password."""
    errors = "\n".join(line for line in output.splitlines() if line.startswith(("ERROR", "WARNING")))
    log.warning("pip found no %s for %s (status %s): %s", requirement, target, status, scrub(errors[-_TOLD:]))
    if _LARGE in output:
        return Absent("It is larger than PACKHOUSE_RUNTIME_FILE_BYTES.")
    if _FULL.search(errors):
        return Outage("It does not fit into the worker's cache folder.")
    if _OUTAGE.search(output):
        return Outage("The package index did not answer as it should.")
    if _DAMAGED.search(output):
        return Absent("What the package index gave does not have the digest that it says.")
    if _OTHER.search(output):
        return Absent("What was found for it says inside that it is something else.")
    if "No matching distribution found" in output or "Could not find a version" in output:
        return Absent("There is no such wheel.")
    return Absent(f"pip could not fetch it (exit status {status}); the worker's log has what it said.")
