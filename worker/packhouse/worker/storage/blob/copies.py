"""Copies of blobs on this machine's disk, so that what several packages read comes over the wire once.

In the folder, ``<key>`` is a whole copy and ``<key>.part`` one in the making, ``key`` naming a version of a blob and
its length, in one run of the machine's kernel: after a power cut nothing is taken for a copy. A part holds the first
bytes of the blob, as many as it is long. Who has locked it appends to it, all others read along; when its writer dies,
another one goes on where it ended. Who reads holds a shared lock, and nothing that is locked is removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Final

from packhouse.worker.metrics.recorder import recorder
from packhouse.worker.storage.cache_folder import boot_id

log = logging.getLogger(__name__)

LEFT_FREE: Final = 1 << 30
"""Bytes of the disk that copies leave to others."""
_PART: Final = ".part"
_ROOM: Final = ".room"
_POLL: Final = 0.02
_PATIENCE: Final = 30.0
"""Seconds without a new byte after which a reader no longer relies on who writes."""

Fetch = Callable[[int], memoryview]
"""Gets the bytes of a blob from a place on: some at least, valid until the next call."""


class NoCopy(Exception):
    """The copy cannot be used any more: the blob itself has to be read."""


class BlobCopies:
    """The folder. Nothing is read or made before it is used; no call raises ``OSError``."""

    def __init__(self, folder: Path, limit: int) -> None:
        """``limit``: bytes of all copies together."""
        self._folder = folder
        self._limit = limit
        self._told = False

    def whole(self, identity: str, size: int) -> Copy | None:
        """The copy of a version of a blob, if it is there from beginning to end."""
        path = self._path(identity, size)
        if path is None:
            return None
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            self.tell(error)
            return None
        fcntl.flock(fd, fcntl.LOCK_SH)
        if os.fstat(fd).st_size != size:
            os.close(fd)
            path.unlink(missing_ok=True)
            return None
        with contextlib.suppress(PermissionError):  # another user's, who keeps it fresh
            os.utime(fd)
        return Copy(self, path, fd, size, whole=True)

    def join(self, identity: str, size: int) -> Copy | None:
        """A copy that is there or is being made, or a new one; None where there is no room, or copies are off."""
        found = self.whole(identity, size)
        path = self._path(identity, size)
        if found is None and path is not None:
            try:
                found = self._part(path, size)
            except OSError as error:
                self.tell(error)
        recorder().cache("blobs", hit=found is not None and found.begun)
        return found

    def tell(self, error: OSError) -> None:
        """Say once that the folder cannot be used."""
        if not self._told:
            self._told = True
            log.warning("Blobs cannot be kept in %s, and are read anew for each package: %s", self._folder, error)

    def _path(self, identity: str, size: int) -> Path | None:
        boot = boot_id()
        if boot is None or not 0 < size <= self._limit:
            return None
        return self._folder / f"{hashlib.sha256(f'{boot} {identity}'.encode()).hexdigest()[:40]}-{size}"

    def _part(self, path: Path, size: int) -> Copy | None:
        part = path.with_name(path.name + _PART)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._alone():
            if not part.exists() and not self._make_room(size):
                return None
            fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        return Copy(self, path, fd, size, whole=False)

    @contextlib.contextmanager
    def _alone(self) -> Generator[None, None, None]:
        """Nobody else makes room meanwhile. Held for moments only."""
        fd = os.open(self._folder / _ROOM, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _make_room(self, size: int) -> bool:
        """Remove what nobody reads, the longest unused first, until so many bytes more fit. False where they do not."""
        found: list[tuple[float, int, int, Path]] = []
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError, ValueError):
                status, takes = path.stat(), int(path.name.removesuffix(_PART).rpartition("-")[2])
                found.append((max(status.st_atime, status.st_mtime), takes, status.st_size, path))
        total = sum(takes for _, takes, _, _ in found)
        disk = os.statvfs(self._folder)
        free = disk.f_bavail * disk.f_frsize - LEFT_FREE - sum(takes - there for _, takes, there, _ in found)
        for _, takes, _, path in sorted(found):
            if total + size <= self._limit and size <= free:
                break
            if _removed(path):
                total -= takes
                free += takes
        return total + size <= self._limit and size <= free


class Copy:
    """A copy, open for reading: whole, or in the making by whoever has locked it."""

    def __init__(self, copies: BlobCopies, path: Path, fd: int, size: int, *, whole: bool) -> None:
        self._copies = copies
        self._path = path
        self._fd = fd
        self._size = size
        self._whole = whole
        self._writes = False

    @property
    def begun(self) -> bool:
        """Whether some of it is there."""
        return self._whole or os.fstat(self._fd).st_size > 0

    def readinto(self, buffer: memoryview, at: int, fetch: Fetch) -> int:
        """Read bytes from a place on: what is not there yet is fetched, or waited for where somebody else fetches it.

        Raises ``NoCopy``, and what ``fetch`` raises.
        """
        try:
            return self._read(buffer, at, fetch)
        except OSError as error:
            self._copies.tell(error)
            if self._writes:
                with contextlib.suppress(OSError):
                    self._part.unlink(missing_ok=True)
            raise NoCopy from error

    def close(self) -> None:
        """Let go of it. What is not whole stays for who goes on with it."""
        os.close(self._fd)

    def _read(self, buffer: memoryview, at: int, fetch: Fetch) -> int:
        there, changed = -1, time.monotonic()
        while True:
            before, there = there, self._size if self._whole else os.fstat(self._fd).st_size
            if at < there or at >= self._size:
                return os.preadv(self._fd, [buffer[: max(there - at, 0)]], at)
            if self._writes or self._begin():
                self._append(there, fetch)
                continue
            if there != before:
                changed = time.monotonic()
            elif time.monotonic() - changed > _PATIENCE:
                raise NoCopy
            time.sleep(_POLL)

    def _begin(self) -> bool:
        """Become the one who writes, where nobody is."""
        if not _locked(self._fd, fcntl.LOCK_EX):
            return False
        if os.fstat(self._fd).st_size == 0:
            # It may have become whole between the look for that and the opening of this, which is then a new one.
            other = _opened(self._path)
            if other is not None:
                self._part.unlink(missing_ok=True)
                os.close(self._fd)
                self._fd = other
                self._end()
                return False
        if os.fstat(self._fd).st_size == self._size:
            self._end()
            return False
        self._writes = True
        return True

    def _append(self, at: int, fetch: Fetch) -> None:
        data = fetch(at)
        while data:
            count = os.pwrite(self._fd, data, at)
            at, data = at + count, data[count:]
        if at >= self._size:
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(self._part.stat(), os.fstat(self._fd)):
                    self._part.rename(self._path)
            self._end()

    def _end(self) -> None:
        self._whole, self._writes = True, False
        fcntl.flock(self._fd, fcntl.LOCK_SH)

    @property
    def _part(self) -> Path:
        return self._path.with_name(self._path.name + _PART)


def _opened(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None


def _locked(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _removed(path: Path) -> bool:
    """Whether a copy is gone now: it stays where somebody reads or writes it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        if not _locked(fd, fcntl.LOCK_EX):
            return False
        path.unlink(missing_ok=True)
        return True
    finally:
        os.close(fd)
