"""Where fetched packages are kept, named by their digests: shared by all processes that are given the same folder.

Below the folder: ``objects/<first two digits>/<sha256>``, ``index/<key>.json`` (what was found for a key), ``locks``,
and ``work``, where processes fetch to. What a file is called says nothing: its digest is computed on every use.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Collection, Generator
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from packhouse.schemas.base import Document
from packhouse.worker.runtimes.failures import Outage
from packhouse.worker.runtimes.fetched import CHUNK, Fetched
from packhouse.worker.storage.cache_folder import FileLock
from packhouse.worker.storage.local import OpenFile

ABSENT_SECONDS: Final = 60.0
"""How long it is believed that a package is not there."""
OUTAGE_SECONDS: Final = 5.0
"""How long a source that did not answer is left alone."""
_USED_SECONDS: Final = 3600.0
_POLL: Final = 0.1
_LOCK: Final = ".lock"

Beat = Callable[[int], None]
"""Told of bytes, or of none, while something takes time. May raise."""


class Cached(OpenFile):
    """A file of the cache, open for reading. Its name is its content, so a time of change means nothing."""

    def changed(self) -> str | None:
        """See ``Readable``."""
        size = os.fstat(self.fd).st_size
        return None if size == self.size else f"it has {size} bytes"


class _Entry(Document):
    key: str
    fetched: Fetched | None
    """None where it is not there."""
    reason: str = ""


class Cache:
    """The folder. Nothing is read or made before it is used."""

    def __init__(self, folder: Path, limit: int) -> None:
        """``limit``: bytes of all packages together."""
        self._folder = folder
        self._limit = limit

    def recall(self, key: str, beat: Beat, *, within: float | None = None) -> Fetched | None:
        """What was found for a key, if it was in the last so many seconds and the file is there and whole."""
        entry = self._entry(key, within)
        if entry is None or entry.fetched is None:
            return None
        file = self.open(entry.fetched.sha256, entry.fetched.size, beat)
        if file is None:
            return None
        with file:
            return entry.fetched

    def absent(self, key: str, within: float) -> str | None:
        """Why nothing was found for a key in the last so many seconds, if that is so."""
        entry = self._entry(key, within)
        return entry.reason if entry is not None and entry.fetched is None else None

    def remember(self, key: str, fetched: Fetched | None, reason: str = "") -> None:
        """Write down what was found for a key, or that nothing was."""
        self._write(self._index(key), _Entry(key=key, fetched=fetched, reason=reason).model_dump_json().encode())

    def open(self, sha256: str, size: int, beat: Beat) -> Cached | None:
        """A file by its digest, after all of it was read against it. One that is damaged is removed."""
        path = self._object(sha256)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            if os.fstat(fd).st_size == size and _digest(fd, beat) == sha256:
                _used(fd)
                opened = OpenFile.of(fd, f"sha256:{sha256}", f"the runtime package {sha256[:12]}")
                return Cached(opened.fd, opened.size, f"sha256:{sha256}", opened.real, opened.shown)
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        path.unlink(missing_ok=True)
        return None

    def keep(self, path: Path, fetched: Fetched) -> None:
        """Take a file of a ``workspace`` into the cache. The file's place is empty afterwards."""
        target = self._object(fetched.sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.chmod(0o644)
        with path.open("rb") as file:
            os.fsync(file.fileno())
            _used(file.fileno())
        path.rename(target)

    @contextlib.contextmanager
    def lock(self, key: str, beat: Beat, seconds: float) -> Generator[None, None, None]:
        """Hold what no two processes hold at once. The system lets go of it when its holder dies.

        Raises ``Outage`` where another one has held it for so many seconds.
        """
        with contextlib.closing(FileLock(self._folder / "locks" / f"{_short(key)}{_LOCK}")) as lock:
            deadline = time.monotonic() + seconds
            while not lock.acquire():
                if time.monotonic() > deadline:
                    raise Outage(f"Another process has been fetching it for {seconds:.0f} s.")
                beat(0)
                time.sleep(_POLL)
            yield

    @contextlib.contextmanager
    def workspace(self) -> Generator[Path, None, None]:
        """An empty folder on the cache's disk, removed afterwards; those of processes that died are removed before."""
        work = self._folder / "work"
        work.mkdir(parents=True, exist_ok=True)
        _sweep(work)
        lock, folder = _claim(work)
        with contextlib.closing(lock):
            try:
                folder.mkdir()
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
                folder.with_suffix(_LOCK).unlink(missing_ok=True)

    def trim(self, keep: Collection[str]) -> list[str]:
        """Remove what was not used for longest until the rest is within the limit, ``keep`` aside. Returns digests.

        What another process has open stays readable for it; one that wants it later fetches it again.
        """
        found: list[tuple[float, int, Path]] = []
        for path in (self._folder / "objects").glob("??/*"):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                found.append((status.st_atime, status.st_size, path))
        total = sum(size for _, size, _ in found)
        gone: list[str] = []
        for _, size, path in sorted(found):
            if total <= self._limit:
                break
            if path.name not in keep:
                path.unlink(missing_ok=True)
                total -= size
                gone.append(path.name)
        return gone

    def _entry(self, key: str, within: float | None) -> _Entry | None:
        path = self._index(key)
        try:
            age = time.time() - path.stat().st_mtime
            entry = _Entry.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError:
            path.unlink(missing_ok=True)
            return None
        if within is not None and not 0 <= age <= within:
            return None
        return entry if entry.key == key else None

    def _index(self, key: str) -> Path:
        return self._folder / "index" / f"{_short(key)}.json"

    def _object(self, sha256: str) -> Path:
        return self._folder / "objects" / sha256[:2] / sha256

    def _write(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with self.workspace() as folder:
            part = folder / path.name
            part.write_bytes(data)
            part.rename(path)


def _claim(work: Path) -> tuple[FileLock, Path]:
    """A name that no other process has, and the lock that says so for as long as this one lives."""
    while True:
        path = work / f"{secrets.token_hex(8)}{_LOCK}"
        lock = FileLock(path)
        # Between the two, a process that sweeps may have taken it for one of the dead.
        if lock.acquire() and lock.is_at(path):
            return lock, path.with_suffix("")
        lock.close()


def _sweep(work: Path) -> None:
    for path in work.glob(f"*{_LOCK}"):
        with contextlib.closing(FileLock(path)) as lock:
            if lock.acquire():
                shutil.rmtree(path.with_suffix(""), ignore_errors=True)
                path.unlink(missing_ok=True)


def _short(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:40]


def _digest(fd: int, beat: Beat) -> str:
    digest, at, buffer = hashlib.sha256(), 0, bytearray(CHUNK)
    while count := os.preadv(fd, [buffer], at):
        digest.update(memoryview(buffer)[:count])
        at += count
        beat(0)
    return digest.hexdigest()


def _used(fd: int) -> None:
    """Note that it is used now: disks are often mounted so that reading does not.

    Once an hour at most: a file that is touched is another one to those who know its digests.
    """
    status = os.fstat(fd)
    if 0 <= time.time() - status.st_atime < _USED_SECONDS:
        return
    with contextlib.suppress(PermissionError):  # another user's: who made it keeps it fresh
        os.utime(fd, ns=(time.time_ns(), status.st_mtime_ns))
