"""The data folder: everything that the stack keeps between two starts."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from pathlib import Path
from typing import Final, Self

from packhouse.schemas.errors import ErrorCode, PermanentError

_LOG_BYTES: Final = 16 * 1024 * 1024
_TAIL_BYTES: Final = 4096
_PORT_WAIT: Final = 2.0


class DataFolder:
    """A data folder that this process owns until ``release``.

    ``env`` holds the settings that other commands need, as lines of ``KEY=value``, the value taken as it stands.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.env_file = self.path / "env"
        self.logs = self.path / "logs"
        self.redis = self.path / "redis"
        self.flower = self.path / "flower"
        self.azure = self.path / "azure"
        self._lock = -1

    def claim(self) -> Self:
        """Make the folder and own it. Raises ``PermanentError`` where it cannot be made or another process owns it."""
        try:
            for folder in (self.path, self.logs, self.redis, self.flower):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise PermanentError(
                ErrorCode.CONFIGURATION_INVALID,
                f"The data folder {self.path} cannot be used: {error.strerror}.",
                fix="Give another one with --data-dir.",
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(lock)
            raise PermanentError(
                ErrorCode.CONFIGURATION_INVALID,
                f"A stack runs on the data folder {self.path} already (process {owner}).",
                fix="Use that one, stop it, or give another folder with --data-dir.",
            ) from None
        os.truncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        self._lock = lock
        for log in self.logs.glob("*.log"):
            self._turn_over(log, 0)
        return self

    def release(self) -> None:
        """Let another process own the folder."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def read_env(self) -> dict[str, str]:
        """The settings of the last start; none before the first."""
        try:
            lines = self.env_file.read_text("utf-8").splitlines()
        except FileNotFoundError:
            return {}
        return {key: value for key, equals, value in (line.partition("=") for line in lines) if equals}

    def write_env(self, settings: dict[str, str]) -> None:
        """Replace the settings, whole or not at all, readable for the owner alone."""
        fresh = self.path / f"env.{os.getpid()}"
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.writelines(f"{key}={value}\n" for key, value in settings.items())
        fresh.replace(self.env_file)

    def port(self, setting: str) -> int:
        """A free port: that of the address which ``setting`` had at the last start, where that one is free still."""
        address = self.read_env().get(setting, "")
        last = address.rpartition(":")[2].partition("/")[0]
        # After a kill -9 the port may be held for a moment by a process that is dying.
        deadline = time.monotonic() + _PORT_WAIT
        while last.isdigit() and time.monotonic() < deadline:
            if (port := _free_port(int(last))) is not None:
                return port
            time.sleep(0.05)
        port = _free_port(0)
        if port is None:
            raise PermanentError(
                ErrorCode.CONFIGURATION_INVALID,
                "No port is free on 127.0.0.1.",
                fix="End something that listens there, or allow this process the loopback interface.",
            )
        return port

    def log(self, name: str) -> Path:
        """The log file of a process."""
        return self.logs / f"{name}.log"

    def tail(self, name: str) -> str:
        """The last lines of a log, indented, for a message."""
        try:
            with self.log(name).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
                lines = file.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return ""
        return "\n".join(f"    {line}" for line in lines[-12:])

    def bound_logs(self) -> None:
        """Turn over every log that has grown too long; the processes go on writing to the same file."""
        for log in self.logs.glob("*.log"):
            self._turn_over(log, _LOG_BYTES)

    @staticmethod
    def _turn_over(log: Path, most: int) -> None:
        size = log.stat().st_size
        if size > most:
            with log.open("r+b") as file:
                file.seek(max(0, size - _LOG_BYTES))
                log.with_suffix(".log.1").write_bytes(file.read())
                file.truncate(0)


def _free_port(port: int) -> int | None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return None
        return int(probe.getsockname()[1])
