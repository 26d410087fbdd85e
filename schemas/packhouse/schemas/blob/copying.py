"""Copying a blob inside its account: the service does it, no byte comes or goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from packhouse.schemas.blob.failures import asking, failure, lost_race, status_of
from packhouse.schemas.blob.upload import PERMISSION, SHA256, is_there
from packhouse.schemas.errors import ErrorCode, PermanentError, TransientError

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient, BlobProperties

_READER: Final = "the role Storage Blob Data Reader"
_FIRST_LOOK: Final = 0.05
_LAST_LOOK: Final = 2.0
_SECONDS: Final = 600.0
"""A copy that shows no progress for so long is given up."""
_NOT_FOUND: Final = 404


def copy(
    source: BlobClient,
    blob: BlobClient,
    names: tuple[str, str],
    *,
    size: int,
    sha256: str,
    etag: str | None = None,
    advance: Callable[[int], None] = lambda _: None,
    confirm: Callable[[], None] = lambda: None,
) -> bool:
    """Copy a blob whose bytes are known, with ``etag`` only that version. Returns False where it was there already.

    ``names`` are what errors call the two; ``advance`` and ``confirm`` are as in ``upload``.

    Raises ``PermanentError``: ``model_missing``, ``model_changed`` where the source is another version or of another
    size, ``destination_taken``; and what ``asking`` raises.
    """
    origin, what = names
    with asking(what, permission=PERMISSION):
        if is_there(blob, size, sha256, what):
            advance(size)
            return False
    confirm()
    if not _start(source, blob, names, etag, sha256):
        with asking(what, permission=PERMISSION):
            if is_there(blob, size, sha256, what):
                advance(size)
                return False
        raise _changed(origin)
    _wait(blob, names, size, advance)
    return True


def _start(source: BlobClient, blob: BlobClient, names: tuple[str, str], etag: str | None, sha256: str) -> bool:
    """Ask for the copy; False where a condition does not hold."""
    from azure.core import MatchConditions
    from azure.core.exceptions import AzureError

    origin, what = names
    conditions: dict[str, Any] = {"match_condition": MatchConditions.IfMissing}
    if etag is not None:
        conditions |= {"source_etag": etag, "source_match_condition": MatchConditions.IfNotModified}
    try:
        # The client's own address carries the signature, where that is what opens the container.
        blob.start_copy_from_url(source.url, metadata={SHA256: sha256}, **conditions)
    except AzureError as error:
        if lost_race(error):
            return False
        if status_of(error) == _NOT_FOUND:
            raise failure(error, origin, _READER, ErrorCode.MODEL_MISSING) from None
        raise failure(error, f"a copy of {origin} at {what}", PERMISSION) from None
    return True


def _wait(blob: BlobClient, names: tuple[str, str], size: int, advance: Callable[[int], None]) -> None:
    """Until the copy is there; most are when they are asked for."""
    copied, moved, pause = 0, time.monotonic(), _FIRST_LOOK
    while True:
        with asking(names[1], permission=PERMISSION):
            properties = blob.get_blob_properties()
        if properties.copy.status != "pending":
            _must_have_succeeded(blob, properties, names, size)
            advance(size - copied)
            return
        done = int((properties.copy.progress or "0").partition("/")[0])
        if done > copied:
            moved = time.monotonic()
        elif time.monotonic() - moved > _SECONDS:
            with asking(names[1], permission=PERMISSION):
                blob.abort_copy(properties)
            raise _failed(names, f"shows no progress for {_SECONDS:.0f} s")
        advance(done - copied)
        copied = done
        time.sleep(pause)
        pause = min(pause * 2, _LAST_LOOK)


def _must_have_succeeded(blob: BlobClient, properties: BlobProperties, names: tuple[str, str], size: int) -> None:
    if properties.copy.status != "success":
        raise _failed(names, f"ended as {properties.copy.status}")
    if properties.size != size:
        with asking(names[1], permission=PERMISSION):
            blob.delete_blob()
        raise _changed(names[0])


def _failed(names: tuple[str, str], how: str) -> TransientError:
    return TransientError(
        ErrorCode.AZURE_UNAVAILABLE,
        f"Azure's copy of {names[0]} at {names[1]} {how}.",
        fix="It is tried again by itself.",
    )


def _changed(origin: str) -> PermanentError:
    return PermanentError(
        ErrorCode.MODEL_CHANGED,
        f"{origin} changed while it was being packaged.",
        fix="See that nothing writes to the run's models any more, and try again.",
    )
