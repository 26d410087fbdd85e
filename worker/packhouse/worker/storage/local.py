"""Files and folders below the storage roots: opened so that nothing else can be reached, whatever a path says."""

from __future__ import annotations

import errno
import os
import stat
import time
import unicodedata
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from packhouse.schemas.errors import ErrorCode, PackhouseError, PermanentError
from packhouse.worker.storage.cache_folder import boot_id
from packhouse.worker.storage.failures import not_read, not_written, said, unreadable
from packhouse.worker.storage.location import Location
from packhouse.worker.storage.roots import Place, Root, reach

MAX_FILES: Final = 100_000
MAX_FOLDERS_DEEP: Final = 64

_SETTLED: Final = 2 * 10**9
"""Nanoseconds after which a further change of a file is sure to show in its times.

Some file systems count whole seconds, FAT pairs of them, and the clock of a file server may be a little behind ours.
"""

# Without O_NONBLOCK, opening a pipe that nobody writes to would never return.
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_LIST: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True)
class OpenFile:
    """A regular file below a storage root, open for reading: a ``Readable``."""

    fd: int
    size: int
    mark: str
    """The time of its last change, in nanoseconds."""
    real: str
    """The worker's own path of it, all links resolved. Not for messages."""
    shown: str
    opened: int = field(default_factory=time.time_ns)
    """When, in nanoseconds since 1970."""

    @classmethod
    def of(cls, fd: int, real: str, shown: str) -> Self:
        """The file of a descriptor, as it is now."""
        status = os.fstat(fd)
        return cls(fd, status.st_size, str(status.st_mtime_ns), real, shown)

    def identity(self) -> str | None:
        """See ``Readable``. None where it was changed so shortly before it was opened that a change need not show."""
        status, boot = os.fstat(self.fd), boot_id()
        times = status.st_mtime_ns, status.st_ctime_ns
        if boot is None or max(times) > self.opened - _SETTLED:
            return None
        return "file " + " ".join(map(str, (boot, status.st_dev, status.st_ino, status.st_size, *times)))

    def readinto(self, buffer: memoryview, at: int) -> int:
        """See ``Readable``."""
        try:
            return os.preadv(self.fd, [buffer], at)
        except OSError as error:
            raise not_read(error, self.shown, ErrorCode.MODEL_MISSING) from error

    def read_ahead(self) -> None:
        """See ``Readable``."""
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)

    def changed(self) -> str | None:
        """See ``Readable``."""
        status = os.fstat(self.fd)
        if status.st_size != self.size:
            return f"it has {status.st_size} bytes"
        return None if str(status.st_mtime_ns) == self.mark else "it was written to meanwhile"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.fd)


class Roots:
    """The storage roots. A root need not be there when this is made: a mount may come later."""

    def __init__(self, roots: Sequence[str]) -> None:
        """Raises ``PermanentError`` (``configuration_invalid``) for a root that is no absolute path."""
        self._roots = tuple(Root(path) for path in roots)

    def open_file(self, location: Location, *, missing: ErrorCode = ErrorCode.MODEL_MISSING) -> OpenFile:
        """Open a regular file for reading.

        Raises ``PermanentError``: ``path_forbidden`` outside the roots, ``missing`` where it is not there,
        ``model_unreadable`` where it may not be read or is no regular file, ``location_unsupported`` for the address
        of a blob. Raises ``TransientError`` (``storage_error``) where the storage does not answer.
        """
        with self._reach(location, missing) as place:
            if place.name is None or place.status is None:
                raise unreadable(location.shown, "it is a folder")
            _must_be_regular(place.status, location)
            fd = os.open(place.name, _READ, dir_fd=place.folder_fd)
            try:
                _must_be_regular(os.fstat(fd), location)
                return OpenFile.of(fd, place.real, location.shown)
            except BaseException:
                os.close(fd)
                raise

    def is_folder(self, location: Location, *, missing: ErrorCode = ErrorCode.MODEL_MISSING) -> bool:
        """Whether there is a folder. Raises as ``open_file`` where nothing is there, or nothing that may be seen."""
        with self._reach(location, missing) as place:
            return place.name is None

    def walk(self, folder: Location, *, max_files: int = MAX_FILES) -> Iterator[tuple[str, Location]]:
        """Every regular file below a folder: its path in there with forward slashes, and where it lies.

        Sorted by the bytes of the path in UTF-8. Links are followed as everywhere. Raises as ``open_file``, and
        ``PermanentError``: ``layout_conflict`` for a name that is not UTF-8 or holds control characters, for more than
        ``max_files`` files and for folders nested too deep, ``path_forbidden`` for links that go round in circles.
        """
        found: list[tuple[str, Location]] = []
        self._collect(folder, "", (), found, max_files)
        yield from sorted(found, key=lambda pair: pair[0].encode())

    def open_output_folder(self, location: Location) -> int:
        """Descriptor of a folder to write into, made where it is missing. The caller closes it.

        Raises ``PermanentError`` (``path_forbidden``, ``destination_unwritable``, ``disk_full``,
        ``location_unsupported``) and ``TransientError`` (``storage_error``).
        """
        try:
            with reach(self._roots, location, create=True) as place:
                if place.name is not None:
                    raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
                if not os.access(".", os.W_OK | os.X_OK, dir_fd=place.folder_fd, effective_ids=True):
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
                return os.open(".", _LIST, dir_fd=place.folder_fd)
        except OSError as error:
            raise not_written(error, location.shown) from error

    @contextmanager
    def _reach(self, location: Location, missing: ErrorCode) -> Generator[Place, None, None]:
        try:
            with reach(self._roots, location) as place:
                yield place
        except OSError as error:
            raise not_read(error, location.shown, missing) from error

    def _collect(
        self,
        folder: Location,
        prefix: str,
        around: tuple[tuple[int, int], ...],
        found: list[tuple[str, Location]],
        max_files: int,
    ) -> None:
        identity, names = self._list(folder)
        if identity in around:
            raise PermanentError(
                ErrorCode.PATH_FORBIDDEN,
                f"{said(folder.shown)} is a link back to a folder that it lies in.",
                fix="Remove the link: a model's folder must not contain itself.",
            )
        if len(around) >= MAX_FOLDERS_DEEP:
            raise _unpackable(folder, f"is nested more than {MAX_FOLDERS_DEEP} folders deep")
        for name in names:
            _must_be_sayable(name, folder)
            child = folder.child(name)
            with self._reach(child, ErrorCode.MODEL_MISSING) as place:
                status = place.status
            if status is None:
                self._collect(child, f"{prefix}{name}/", (*around, identity), found, max_files)
                continue
            _must_be_regular(status, child)
            found.append((prefix + name, child))
            if len(found) > max_files:
                raise _unpackable(folder, f"belongs to a model of more than {max_files} files")

    def _list(self, folder: Location) -> tuple[tuple[int, int], list[str]]:
        with self._reach(folder, ErrorCode.MODEL_MISSING) as place:
            if place.name is not None:
                raise unreadable(folder.shown, "it is no folder")
            fd = os.open(".", _LIST, dir_fd=place.folder_fd)
            try:
                status = os.fstat(fd)
                return (status.st_dev, status.st_ino), os.listdir(fd)  # noqa: PTH208 (of a descriptor)
            finally:
                os.close(fd)


def _must_be_regular(status: os.stat_result, location: Location) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise unreadable(location.shown, "it is no regular file")


def _must_be_sayable(name: str, folder: Location) -> None:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise _unpackable(folder, f"holds a file whose name is not UTF-8 ({os.fsencode(name)!r})") from None
    if any(unicodedata.category(character) == "Cc" for character in name):
        raise _unpackable(folder, f"holds a file with a control character in its name ({name!r})")


def _unpackable(folder: Location, reason: str) -> PackhouseError:
    return PermanentError(
        ErrorCode.LAYOUT_CONFLICT,
        f"{said(folder.shown)} {reason}.",
        fix="Leave in the model's folder only files of the model, with plain names.",
    )
