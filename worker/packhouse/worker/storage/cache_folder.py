"""The folder where a machine keeps what is dear to get: runtime packages, digests, copies of blobs. Locks in it."""

from __future__ import annotations

import fcntl
import functools
import os
from pathlib import Path
from typing import Final

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


def cache_folder(told: str | None) -> Path:
    """The folder that the settings name, or ``packhouse`` where a user's caches lie.

    Source of that place: the XDG Base Directory Specification.
    """
    if told:
        return Path(told)
    home = os.environ.get("XDG_CACHE_HOME", "")
    caches = home if home.startswith("/") else os.path.expanduser("~/.cache")  # noqa: PTH111 (never raises)
    return Path(caches) / "packhouse"


@functools.cache
def boot_id() -> str | None:
    """What names this run of this machine's kernel, the same in all its containers; None where nothing does.

    Numbers of devices and inodes mean something only together with it.
    """
    try:
        return _BOOT.read_text().strip() or None
    except OSError:
        return None


class FileLock:
    """A lock file. The system lets go of it when its holder dies."""

    def __init__(self, path: Path) -> None:
        """Opens the file, made where it is missing. Raises ``OSError``."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def acquire(self) -> bool:
        """Whether this is its holder now."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def is_at(self, path: Path) -> bool:
        """Whether the file is still there under its name."""
        try:
            return os.path.samestat(os.fstat(self._fd), path.stat())
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Let go of it."""
        os.close(self._fd)
