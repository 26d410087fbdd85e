"""Copies of files that cost as little as the file system lets them."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from packhouse.schemas.errors import ErrorCode, PermanentError

_FICLONE: Final = 0x40049409
"""The ioctl by which a Linux file takes over all blocks of another (``linux/fs.h``)."""

_CHUNK: Final = 4 * 1024 * 1024
_FULL: Final = {errno.ENOSPC, errno.EDQUOT}


class FileCopier:
    """Copies files by taking over their blocks, else as hard links, else byte by byte.

    A file that was copied before becomes a hard link to its first copy. Nothing becomes a hard link that may not.
    """

    def __init__(self, advance: Callable[[int], None]) -> None:
        """``advance`` is told the bytes of every step."""
        self._advance = advance
        self._copies: dict[tuple[int, int], Path] = {}

    def copy(self, source: Path, destination: Path, *, may_link: bool) -> None:
        """Links are followed; the destination must not exist. Raises ``OSError``."""
        status = source.stat()
        if may_link:
            first = self._copies.get((status.st_dev, status.st_ino))
            if first and _link(first, destination):
                self._advance(status.st_size)
                return
            self._copies[status.st_dev, status.st_ino] = destination
        self._first_copy(source.resolve(), destination, may_link=may_link)

    def moved(self, origin: Path, target: Path) -> None:
        """What was copied into the folder ``origin`` now lies in ``target``."""
        for identity, copy in self._copies.items():
            if copy.is_relative_to(origin):
                self._copies[identity] = target / copy.relative_to(origin)

    def _first_copy(self, source: Path, destination: Path, *, may_link: bool) -> None:
        with source.open("rb") as reader:
            size = os.fstat(reader.fileno()).st_size
            with destination.open("xb") as writer:
                if _clone(reader.fileno(), writer.fileno()):
                    os.fsync(writer.fileno())
                    self._advance(size)
                    return
            destination.unlink()
            if may_link and _link(source, destination):
                self._advance(size)
                return
            with destination.open("xb") as writer:
                while chunk := reader.read(_CHUNK):
                    writer.write(chunk)
                    self._advance(len(chunk))
                writer.flush()
                os.fsync(writer.fileno())


@contextmanager
def writing_to(folder: Path, what: str = "Models") -> Generator[None]:
    """Within it, what goes wrong with files is raised as ``disk_full`` or ``destination_unwritable``."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise PermanentError(
                ErrorCode.DISK_FULL, f"The disk of {folder} is full.", fix="Make room there, or choose another folder."
            ) from error
        raise PermanentError(
            ErrorCode.DESTINATION_UNWRITABLE,
            f"{what} cannot be put into {folder}: {error}",
            fix="Choose a folder that you may write to, on a file system with hard links or enough room.",
        ) from error


def sync_folder(folder: Path) -> None:
    """Bring a folder's list of names to disk, where the system can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return
    try:
        os.fsync(descriptor)
    except OSError:  # and some network file systems do not sync them
        pass
    finally:
        os.close(descriptor)


def _clone(source: int, destination: int) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows
        return False
    try:
        fcntl.ioctl(destination, _FICLONE, source)
    except OSError:
        return False
    return True


def _link(source: Path, destination: Path) -> bool:
    try:
        destination.hardlink_to(source)
    except OSError:
        return False
    return True
