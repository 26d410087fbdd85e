"""The folders below which files may be read and written, and the one way of getting to a place below them."""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packhouse.schemas.base import is_url
from packhouse.schemas.errors import ErrorCode, PermanentError, TransientError
from packhouse.schemas.paths import is_windows
from packhouse.worker.storage.failures import forbidden, said
from packhouse.worker.storage.location import Location

MAX_LINKS: Final = 40
MAX_DEPTH: Final = 200

# O_PATH asks for no permission to list, only to pass through; where it is missing, a folder must be readable.
_PASS_THROUGH: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC


class Root:
    """A folder that the operator allows. Links on the way to it are the operator's own, and are followed."""

    def __init__(self, path: str) -> None:
        if not path.startswith("/") or "\0" in path:
            raise PermanentError(
                ErrorCode.CONFIGURATION_INVALID,
                f"{path!r} cannot be a storage root.",
                fix="Give the absolute path of a folder.",
            )
        self.parts: tuple[str, ...] = _parts(os.path.normpath(path))
        self._real: tuple[str, ...] | None = None

    @property
    def path(self) -> str:
        """The folder as the operator spelled it."""
        return "/" + "/".join(self.parts)

    @property
    def real(self) -> tuple[str, ...]:
        """The components without links; of a folder that is not there (yet), as it was spelled."""
        if self._real is None:
            if not Path(self.path).is_dir():
                return self.parts
            self._real = _parts(os.path.realpath(self.path))
        return self._real

    def within(self, parts: Sequence[str]) -> int | None:
        """How many components of a path lead to this root, if it lies below it in either spelling."""
        for own in (self.real, self.parts):
            if tuple(parts[: len(own)]) == own:
                return len(own)
        return None


@dataclass(frozen=True)
class Place:
    """Where a path leads. Of a folder, ``folder_fd`` is the folder itself and ``name`` is None."""

    folder_fd: int
    name: str | None
    status: os.stat_result | None
    real: str


class _Trail:
    """Open folders from a root downwards, none of them reached through a link that we did not look at."""

    def __init__(self) -> None:
        self.root: Root | None = None
        self.fds: list[int] = []
        self.names: list[str] = []

    def start(self, root: Root, shown: str) -> None:
        self.close()
        try:
            self.fds.append(os.open(root.path, _PASS_THROUGH))
        except (FileNotFoundError, NotADirectoryError):
            raise TransientError(
                ErrorCode.STORAGE_ERROR,
                f"The storage root that {said(shown)} lies below is not there.",
                fix="Mount the storage where the worker expects it; packaging is tried again by itself.",
            ) from None
        self.root = root

    def down(self, name: str, shown: str) -> None:
        if len(self.fds) > MAX_DEPTH:
            raise forbidden(shown, f"lies more than {MAX_DEPTH} folders deep")
        self.fds.append(os.open(name, _PASS_THROUGH | os.O_NOFOLLOW, dir_fd=self.fds[-1]))
        self.names.append(name)

    def up(self) -> None:
        os.close(self.fds.pop())
        self.names.pop()

    def real(self, *more: str) -> tuple[str, ...]:
        return (*(self.root.real if self.root else ()), *self.names, *more)

    def close(self) -> None:
        while self.fds:
            os.close(self.fds.pop())
        self.names.clear()


@contextmanager
def reach(roots: Sequence[Root], location: Location, *, create: bool = False) -> Generator[Place, None, None]:
    """Go to a place component by component. Links are followed by us alone, and only to what lies below a root.

    With ``create``, folders that are missing are made. Raises ``PermanentError`` (``path_forbidden``,
    ``location_unsupported``), ``TransientError`` where a root is missing, and ``OSError`` as the system has it.
    """
    trail = _Trail()
    try:
        yield _follow(trail, roots, location, create=create)
    finally:
        trail.close()


def _follow(trail: _Trail, roots: Sequence[Root], location: Location, *, create: bool) -> Place:
    shown = location.shown
    _refuse_what_is_no_path(location)
    ahead = deque(_start(trail, roots, _parts(location.path), shown))
    links = 0
    while ahead:
        name = ahead.popleft()
        if name == "..":
            if trail.names:
                trail.up()
            else:
                ahead = deque(_start(trail, roots, _above(trail.real(), ahead), shown))
            continue
        status = _status(trail.fds[-1], name, create=create)
        if stat.S_ISLNK(status.st_mode):
            links += 1
            if links > MAX_LINKS:
                raise forbidden(shown, f"leads through more than {MAX_LINKS} links")
            target = os.readlink(name, dir_fd=trail.fds[-1])
            ahead.extendleft(reversed(_parts(target)))
            if target.startswith("/"):
                ahead = deque(_start(trail, roots, tuple(ahead), shown))
        elif stat.S_ISDIR(status.st_mode):
            trail.down(name, shown)
        elif ahead or location.path.endswith(("/", "/.")):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        else:
            return Place(trail.fds[-1], name, status, _joined(trail.real(name)))
    return Place(trail.fds[-1], None, None, _joined(trail.real()))


def _start(trail: _Trail, roots: Sequence[Root], parts: Sequence[str], shown: str) -> Sequence[str]:
    """Begin at the outermost root above a path; what is left to go."""
    fitting = [(count, root) for root in roots if (count := root.within(parts)) is not None]
    if not fitting:
        raise forbidden(shown, "lies outside the storage roots, or is a link that leads out of them")
    count, root = min(fitting, key=lambda pair: pair[0])
    trail.start(root, shown)
    return parts[count:]


def _above(root: Sequence[str], ahead: deque[str]) -> Sequence[str]:
    """Where ``..`` leads from a root, whose own components are no links; it may be another root."""
    above = list(root[:-1])
    while ahead and ahead[0] == "..":
        ahead.popleft()
        del above[-1:]
    return (*above, *ahead)


def _status(folder_fd: int, name: str, *, create: bool) -> os.stat_result:
    try:
        return os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
    except FileNotFoundError:
        if not create:
            raise
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=folder_fd)
    return os.stat(name, dir_fd=folder_fd, follow_symlinks=False)


def _refuse_what_is_no_path(location: Location) -> None:
    path, shown = location.path, location.shown
    if is_url(path):
        raise PermanentError(
            ErrorCode.LOCATION_UNSUPPORTED,
            f"{said(shown)} is the address of a blob; only files below the storage roots are read and written.",
            fix="Put the file on storage that the worker mounts, and give its path.",
        )
    if is_windows(path):
        raise forbidden(shown, "is a path of Windows, and no path mapping of the worker applies to it")
    if not path.startswith("/"):
        raise forbidden(shown, "is no absolute path: it depends on where the engine ran")
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        raise forbidden(shown, "holds characters that are no Unicode") from None
    if "\0" in path:
        raise forbidden(shown.replace("\0", "\\0"), "holds a NUL character")


def _parts(path: str) -> tuple[str, ...]:
    return tuple(part for part in path.split("/") if part not in ("", "."))


def _joined(parts: Sequence[str]) -> str:
    return "/" + "/".join(parts)
