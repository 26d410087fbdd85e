"""A file that others see only whole: written under a hidden name beside its destination, then renamed over it."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Final

from packhouse.schemas.errors import ErrorCode, TransientError
from packhouse.worker.storage.failures import not_written, said

_SUFFIX: Final = ".partial"
_TOKEN: Final = re.compile(r"[A-Za-z0-9]+")

# As a person's own copy would ask for: what the file gets is up to the umask, the folder's setgid bit and its ACL.
_MODE: Final = 0o666


@contextmanager
def publish_file(
    folder_fd: int,
    name: str,
    token: str,
    tag: str,
    *,
    shown: str = "",
    needed: int | None = None,
    durable: bool = True,
    confirm: Callable[[], None] = lambda: None,
) -> Generator[int, None, None]:
    """Descriptor of an unfinished file that becomes ``name`` in the folder when the ``with`` ends well.

    Then ``confirm`` (which may raise) was called just before, and where it is to be ``durable``, its bytes are on disk
    before the name is. When anything is raised, nothing is left behind. ``token`` is of this attempt (letters and
    digits), ``tag`` of the job; ``shown`` is what errors call the file, and ``needed`` its expected bytes.

    An ``OSError`` of the body is taken for one of writing. Raises ``PermanentError`` (``disk_full``,
    ``destination_unwritable``) and ``TransientError`` (``storage_error``).
    """
    shown = shown or name
    partial = partial_name(name, token, tag)
    fd: int | None = None
    published = False
    try:
        _must_be_replaceable(folder_fd, name)
        fd = _create(folder_fd, partial)
        yield fd
        if durable:
            os.fsync(fd)
        confirm()
        _rename(folder_fd, partial, name, shown)
        published = True
        if durable:
            os.fsync(folder_fd)
    except OSError as error:
        raise not_written(error, shown, needed) from error
    finally:
        if fd is not None:
            if not published:
                _withdraw(folder_fd, partial, fd)
            os.close(fd)


def partial_name(name: str, token: str, tag: str) -> str:
    """The hidden name of a file that an attempt has not finished."""
    return f".{name}.{tag}-{token}{_SUFFIX}"


def discard_stale(folder_fd: int, name: str, tag: str, keep_token: str) -> list[str]:
    """Remove what other attempts at the same job left unfinished; returns the names. What cannot be removed stays."""
    prefix = f".{name}.{tag}-"
    gone: list[str] = []
    try:
        names = os.listdir(folder_fd)
    except OSError:
        return gone
    for entry in names:
        if not (entry.startswith(prefix) and entry.endswith(_SUFFIX)):
            continue
        token = entry[len(prefix) : -len(_SUFFIX)]
        if token != keep_token and _TOKEN.fullmatch(token):
            with suppress(OSError):
                os.unlink(entry, dir_fd=folder_fd)
                gone.append(entry)
    return gone


def _create(folder_fd: int, partial: str) -> int:
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(partial, flags, _MODE, dir_fd=folder_fd)
    except FileExistsError:
        # The token is this attempt's alone, so whoever made it is this attempt before it began anew.
        os.unlink(partial, dir_fd=folder_fd)
        return os.open(partial, flags, _MODE, dir_fd=folder_fd)


def _withdraw(folder_fd: int, partial: str, fd: int) -> None:
    try:
        os.unlink(partial, dir_fd=folder_fd)
    except OSError:
        # A folder that takes no changes any more may still let a file of it give its space back.
        with suppress(OSError):
            left = os.stat(partial, dir_fd=folder_fd, follow_symlinks=False)
            if os.path.samestat(left, os.fstat(fd)):  # whatever was said of the rename, it has not been done
                os.ftruncate(fd, 0)


def _must_be_replaceable(folder_fd: int, name: str) -> None:
    """A folder in the place of the file is found before the bytes are poured, not after."""
    with suppress(FileNotFoundError):
        if stat.S_ISDIR(os.stat(name, dir_fd=folder_fd, follow_symlinks=False).st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))


def _rename(folder_fd: int, partial: str, name: str, shown: str) -> None:
    try:
        os.rename(partial, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
    except FileNotFoundError:
        raise TransientError(
            ErrorCode.STORAGE_ERROR,
            f"The unfinished {said(shown)} was removed while it was being written.",
            fix="Leave hidden files that end in .partial alone; packaging is tried again by itself.",
        ) from None
