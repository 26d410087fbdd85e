"""Where a package that is a file goes, and what lies there before: that may be anything."""

from __future__ import annotations

import io
import os
import stat
import zipfile
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from packhouse.schemas.base import Digest
from packhouse.schemas.files import MANIFEST, Manifest
from packhouse.schemas.status import Replaced
from packhouse.worker.package.manifest import package_digest
from packhouse.worker.packagers.base import PackageJob

_MOST_READ: Final = 64 * 1024 * 1024
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@contextmanager
def output_folder(job: PackageJob) -> Generator[int]:
    """Descriptor of the run's ``output_dir``, made where it is missing. Raises as ``Storage.open_output_folder``."""
    fd = job.storage.open_output_folder(job.locate(job.event.output_dir))
    try:
        yield fd
    finally:
        os.close(fd)


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
    digest = _package_digest(folder_fd, name) if stat.S_ISREG(status.st_mode) else None
    return Replaced(bytes=status.st_size, digest=digest)


def _package_digest(folder_fd: int, name: str) -> Digest | None:
    try:
        with _Bounded(os.open(name, _READ, dir_fd=folder_fd)) as file, zipfile.ZipFile(file) as archive:
            entry = archive.getinfo(MANIFEST)
            if entry.file_size > _MOST_READ:
                return None
            with archive.open(entry) as manifest:
                data = manifest.read(_MOST_READ)
        Manifest.model_validate_json(data)
        return package_digest(data)
    # What a foreign file makes the reader raise; in none of these cases is it a package of ours.
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, RuntimeError, NotImplementedError):
        return None


class _Bounded(io.FileIO):
    """A file of which no great part is read into memory at once, whatever sizes it claims for itself."""

    def read(self, size: int | None = -1, /) -> bytes:
        most = _MOST_READ if size is None or size < 0 else size
        if most > _MOST_READ:
            raise ValueError(f"{most} bytes at once are too many")
        return super().read(most) or b""
