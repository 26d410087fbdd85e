"""What the operating system says about files, as errors that a person can act on."""

from __future__ import annotations

import errno
from typing import Final

from packhouse.schemas.errors import ErrorCode, PackhouseError, PermanentError, TransientError

_ABSENT: Final = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG}
_DENIED: Final = {errno.EACCES, errno.EPERM, errno.ENXIO, errno.ENODEV, errno.EISDIR}
_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_UNWRITABLE: Final = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL,
}  # fmt: skip


def said(path: str) -> str:
    """A path as it can stand in a message, whatever characters it holds."""
    return path.encode("utf-8", "backslashreplace").decode()


def forbidden(shown: str, reason: str) -> PermanentError:
    """The error for a path that leads where nothing may be read or written."""
    return PermanentError(
        ErrorCode.PATH_FORBIDDEN,
        f"{said(shown)} {reason}.",
        fix="Put it below a storage root of the worker, add its folder as a root, or map the engine's path to one.",
    )


def unreadable(shown: str, reason: str) -> PermanentError:
    """The error for a file that is there and cannot be read."""
    return PermanentError(
        ErrorCode.MODEL_UNREADABLE,
        f"{said(shown)} cannot be read: {reason}.",
        fix="Make it a regular file that the worker's user may read, then packhouse retry.",
    )


def not_read(error: OSError, shown: str, missing: ErrorCode) -> PackhouseError:
    """The error for a file or folder that could not be opened or read; ``missing`` where it is not there."""
    if error.errno in _ABSENT:
        return PermanentError(
            missing,
            f"{said(shown)} is not there.",
            fix="Check the path, and that the engine has not cleaned up since: its files must stay until packaged.",
        )
    if error.errno in _DENIED:
        return unreadable(shown, (error.strerror or "it may not be opened").lower())
    return _storage(error, shown)


def not_written(error: OSError, shown: str, needed: int | None = None) -> PackhouseError:
    """The error for a file or folder that could not be written; ``needed`` is its whole size in bytes."""
    if error.errno in _FULL:
        size = "" if needed is None else f" of {needed} bytes"
        limit = "may not be that large" if error.errno == errno.EFBIG else "does not fit on its disk"
        return PermanentError(
            ErrorCode.DISK_FULL,
            f"{said(shown)}{size} {limit} ({error.strerror}).",
            fix="Free space or raise the quota there, then packhouse retry.",
        )
    if error.errno in _UNWRITABLE:
        return PermanentError(
            ErrorCode.DESTINATION_UNWRITABLE,
            f"{said(shown)} cannot be written: {(error.strerror or 'refused').lower()}.",
            fix="Let the worker's user write there, or choose another output folder.",
        )
    return _storage(error, shown)


def _storage(error: OSError, shown: str) -> TransientError:
    return TransientError(
        ErrorCode.STORAGE_ERROR,
        f"The storage of {said(shown)} did not answer as it should: {error.strerror or error}.",
        fix="Check the disk or the mount; packaging is tried again by itself.",
    )
