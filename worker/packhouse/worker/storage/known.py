"""Digests that a process of this machine has computed, for all others of it.

A file is known again by its device, inode, size and both of its times, within one run of the machine's kernel; a blob
by its address, ETag and length. What is kept is small files of one line in the cache folder, each with a check of
itself. Whoever may write that folder is trusted; what is damaged there is as if it were not there.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import secrets
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from packhouse.schemas.errors import ErrorCode, TransientError
from packhouse.worker.storage.cache_folder import FileLock
from packhouse.worker.storage.digest import FileDigest
from packhouse.worker.storage.failures import said
from packhouse.worker.storage.readable import Readable

log = logging.getLogger(__name__)

LEAST: Final = 64 * 1024
"""Bytes of the smallest file whose digests are kept: smaller ones are digested faster than looked up."""
MOST_IN_FOLDER: Final = 64
"""Entries of one of the 256 folders; the oldest leave it."""
_SIDE_BY_SIDE: Final = 4 << 20
"""Bytes of the smallest file that is waited for while another process digests it."""
_WAIT: Final = 300.0
"""Seconds after which that process is no longer waited for."""
_POLL: Final = 0.05


class KnownDigests:
    """The digests of a folder, or none at all. Nothing is read or made before it is used; no call raises ``OSError``.

    A folder that cannot be used costs only what is digested again; it is told once.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._told = False

    def get(self, identity: str) -> FileDigest | None:
        """The digests of the bytes of that identity."""
        if self._folder is None:
            return None
        path = self._path(identity)
        try:
            text = path.read_text()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            self._tell(error)
            return None
        return _parsed(text, identity)

    def keep(self, identity: str, digest: FileDigest) -> None:
        """Let others know the digests of the bytes of that identity."""
        if self._folder is None:
            return
        path = self._path(identity)
        part = path.with_name(f".{secrets.token_hex(8)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _make_room(path.parent)
            part.write_text(_line(identity, digest))
            part.rename(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            self._tell(error)

    @contextlib.contextmanager
    def alone(self, identity: str, waiting: Callable[[], None]) -> Generator[None, None, None]:
        """Hold what only one process should digest. ``waiting`` is called again and again, and may raise.

        After five minutes one goes on all the same: to do it twice does no harm.
        """
        with contextlib.ExitStack() as stack:
            if self._folder is not None:
                try:
                    lock = FileLock(self._folder / "locks" / _short(identity)[:3])
                except OSError as error:
                    self._tell(error)
                else:
                    stack.callback(lock.close)
                    deadline = time.monotonic() + _WAIT
                    while not lock.acquire() and time.monotonic() < deadline:
                        waiting()
                        time.sleep(_POLL)
            yield

    def _path(self, identity: str) -> Path:
        key = _short(identity)
        return (self._folder or Path()) / key[:2] / key

    def _tell(self, error: Exception) -> None:
        if not self._told:
            self._told = True
            log.warning("Digests cannot be kept in %s, and are computed anew: %s", self._folder, error)


@dataclass
class Turn:
    """A file being read, and what is known of it."""

    store: KnownDigests
    source: Readable
    identity: str | None
    known: FileDigest | None
    settled: Callable[[FileDigest], None] = field(default=lambda _: None)
    """Told of what was computed, when it holds for the bytes of ``identity``."""

    def settle(self, digest: FileDigest) -> None:
        """The file has been read to its end, and these are its digests.

        Raises ``TransientError`` where its digests were taken for known and it was touched meanwhile.
        """
        still = self.identity is not None and self.source.identity() == self.identity
        if self.known is not None and not still:
            raise TransientError(
                ErrorCode.STORAGE_ERROR,
                f"{said(self.source.shown)} was touched while it was being packaged.",
                fix="Packaging is tried again by itself. Leave the files of a run alone until it is complete.",
            )
        if self.known is None and still and self.identity is not None and digest.size >= LEAST:
            self.store.keep(self.identity, digest)
            self.settled(digest)


@contextlib.contextmanager
def turn(store: KnownDigests, source: Readable, waiting: Callable[[], None]) -> Generator[Turn, None, None]:
    """One's turn at reading an open file: with its digests, or as the one process of this machine that computes them.

    What another one is computing is waited for, but for small files. ``waiting`` may raise meanwhile.
    """
    identity = source.identity() if source.size >= LEAST else None
    if identity is None:
        yield Turn(store, source, None, None)
        return
    known = store.get(identity)
    if known is not None or source.size < _SIDE_BY_SIDE:
        yield Turn(store, source, identity, known)
        return
    with store.alone(identity, waiting):
        yield Turn(store, source, identity, store.get(identity))


def _line(identity: str, digest: FileDigest) -> str:
    text = f"{digest.sha256} {digest.crc32:08x} {digest.size} {identity}"
    return f"{_short(text)} {text}\n"


def _parsed(line: str, identity: str) -> FileDigest | None:
    try:
        sha256, crc32, size = line.split(" ")[1:4]
        digest = FileDigest(sha256, int(crc32, 16), int(size))
    except ValueError:
        return None
    return digest if line == _line(identity, digest) else None


def _make_room(folder: Path) -> None:
    found: list[tuple[float, Path]] = []
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append((path.stat().st_mtime, path))
    for _, path in sorted(found)[: max(0, len(found) + 1 - MOST_IN_FOLDER)]:
        path.unlink(missing_ok=True)


def _short(name: str) -> str:
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:40]
