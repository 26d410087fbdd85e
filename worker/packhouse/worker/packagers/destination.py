"""Where a package that is a file goes, and what lies there before."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final, Protocol

from packhouse.schemas.base import is_url
from packhouse.schemas.status import Replaced
from packhouse.worker.packagers.base import PackageJob
from packhouse.worker.packagers.blob_destination import BlobDestination
from packhouse.worker.packagers.replaced import bounded, digest_in
from packhouse.worker.storage.output import discard_stale, publish_file
from packhouse.worker.storage.sink import FileSink, Sink

_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Destination(Protocol):
    """The place of one file. All raise ``PermanentError`` and ``TransientError``."""

    @property
    def key(self) -> str:
        """Equal for two spellings of one place."""
        ...

    def replaced(self) -> Replaced | None:
        """What lies there, with its digest where it is a package of ours; None where nothing does."""
        ...

    def published(self, *, needed: int, entries: int, confirm: Callable[[], None]) -> AbstractContextManager[Sink]:
        """What to write the file into; it appears, and replaces what is there, when the ``with`` ends well.

        ``needed`` is how many bytes it can have, ``entries`` how many gaps are left in it. ``confirm`` is called just
        before it appears, and may raise.
        """
        ...

    def discard(self) -> None:
        """Remove what other attempts at the same job left unfinished."""
        ...


@contextmanager
def destination_of(job: PackageJob, name: str) -> Generator[Destination]:
    """The place of a file of that name in the run's ``output_dir``, which is made where it is a folder and missing.

    Raises as ``Storage.open_output_folder``.
    """
    location = job.locate(job.event.output_dir)
    if is_url(location.path) and job.storage.blobs is not None:
        blobs = job.storage.blobs
        place = location.child(name)
        yield BlobDestination(blobs, blobs.address(place), place)
        return
    fd = job.storage.open_output_folder(location)
    try:
        yield FileDestination(fd, name, job, location.child(name).shown)
    finally:
        os.close(fd)


class FileDestination:
    """A place in an open folder."""

    def __init__(self, folder_fd: int, name: str, job: PackageJob, shown: str) -> None:
        self._fd = folder_fd
        self._name = name
        self._job = job
        self._shown = shown

    @property
    def key(self) -> str:
        """See ``Destination``."""
        return f"file:{real_path(self._fd)}/{self._name}"

    def replaced(self) -> Replaced | None:
        """See ``Destination``."""
        return look_at_replaced(self._fd, self._name)

    @contextmanager
    def published(self, *, needed: int, entries: int, confirm: Callable[[], None]) -> Generator[Sink]:
        """See ``Destination``."""
        del entries
        job = self._job
        self.discard()
        durable = job.settings.fsync == "always"
        with publish_file(
            self._fd, self._name, job.token, job.tag, shown=self._shown, needed=needed, durable=durable, confirm=confirm
        ) as fd:
            yield FileSink(fd)

    def discard(self) -> None:
        """See ``Destination``."""
        discard_stale(self._fd, self._name, self._job.tag, self._job.token)


def real_path(folder_fd: int) -> str:
    """A folder's path with all links resolved, so that two spellings of one folder are one destination."""
    link = Path(f"/proc/self/fd/{folder_fd}")
    if link.is_symlink():
        return str(link.readlink())
    import fcntl

    get_path: int = fcntl.F_GETPATH  # pyright: ignore[reportAttributeAccessIssue] -- macOS has no /proc, and has this
    return fcntl.fcntl(folder_fd, get_path, bytes(1024)).rstrip(b"\0").decode()


def look_at_replaced(folder_fd: int, name: str) -> Replaced | None:
    """The file of that name in a folder, with its digest where it is a package of ours; None where there is none."""
    try:
        status = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
    except OSError:
        return None
    digest = None
    if stat.S_ISREG(status.st_mode):
        try:
            with _Bounded(os.open(name, _READ, dir_fd=folder_fd)) as file:
                digest = digest_in(file)
        except OSError:
            digest = None
    return Replaced(bytes=status.st_size, digest=digest)


class _Bounded(io.FileIO):
    """A file of which no great part is read into memory at once, whatever sizes it claims for itself."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(bounded(size)) or b""
