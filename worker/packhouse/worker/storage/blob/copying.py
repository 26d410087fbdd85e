"""Copying a blob inside its account: the service does it, no byte comes or goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from packhouse.schemas.blob.address import BlobAddress
from packhouse.schemas.blob.upload import SHA256, is_there
from packhouse.schemas.errors import ErrorCode, PermanentError, TransientError
from packhouse.worker.storage.blob.clients import BlobClients
from packhouse.worker.storage.blob.failures import CONTRIBUTOR, READER, failure, lost_race, status_of

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient

_FIRST_LOOK: Final = 0.05
_LAST_LOOK: Final = 2.0
_SECONDS: Final = 600.0
"""A copy that shows no progress for so long is given up."""
_NOT_FOUND: Final = 404


def copy_within_account(
    clients: BlobClients,
    source: BlobAddress,
    destination: BlobAddress,
    *,
    size: int,
    sha256: str,
    etag: str | None = None,
    advance: Callable[[int], None] = lambda _: None,
    confirm: Callable[[], None] = lambda: None,
) -> bool:
    """Copy a blob whose bytes are known, with ``etag`` only that version. Returns False where it was there already.

    ``advance`` and ``confirm`` are as in ``upload``. Raises ``PermanentError``: ``model_missing``, ``model_changed``
    where the source is another version or of another size, ``destination_taken``; and what ``asking`` raises.
    """
    if source.account != destination.account:
        raise ValueError(f"{source} and {destination} lie in two accounts")
    blob = clients.blob(destination)
    with clients.asking(destination, str(destination), permission=CONTRIBUTOR):
        if is_there(blob, size, sha256, str(destination)):
            advance(size)
            return False
    confirm()
    with clients.renewing(destination):
        if not _start(clients.blob(source), blob, source, destination, etag, sha256):
            with clients.asking(destination, str(destination), permission=CONTRIBUTOR):
                if is_there(blob, size, sha256, str(destination)):
                    advance(size)
                    return False
            raise _changed(source)
    _wait(clients, blob, source, destination, size, advance)
    return True


def _start(
    origin: BlobClient, blob: BlobClient, source: BlobAddress, destination: BlobAddress, etag: str | None, sha256: str
) -> bool:
    """Ask for the copy; False where a condition does not hold."""
    from azure.core import MatchConditions
    from azure.core.exceptions import AzureError

    conditions: dict[str, Any] = {"match_condition": MatchConditions.IfMissing}
    if etag is not None:
        conditions |= {"source_etag": etag, "source_match_condition": MatchConditions.IfNotModified}
    try:
        # The client's own address carries the signature, where that is what opens the container.
        blob.start_copy_from_url(origin.url, metadata={SHA256: sha256}, **conditions)
    except AzureError as error:
        if lost_race(error):
            return False
        if status_of(error) == _NOT_FOUND:
            raise failure(error, str(source), READER, ErrorCode.MODEL_MISSING) from None
        raise failure(error, f"a copy of {source} at {destination}", CONTRIBUTOR) from None
    return True


def _wait(
    clients: BlobClients,
    blob: BlobClient,
    source: BlobAddress,
    destination: BlobAddress,
    size: int,
    advance: Callable[[int], None],
) -> None:
    """Until the copy is there; most are when they are asked for."""
    copied, moved, pause = 0, time.monotonic(), _FIRST_LOOK
    while True:
        with clients.asking(destination, str(destination), permission=CONTRIBUTOR):
            properties = blob.get_blob_properties()
        status = properties.copy.status
        if status == "success" and properties.size == size:
            advance(size - copied)
            return
        if status != "pending":
            if status == "success":
                with clients.asking(destination, str(destination), permission=CONTRIBUTOR):
                    blob.delete_blob()
                raise _changed(source)
            raise TransientError(
                ErrorCode.AZURE_UNAVAILABLE,
                f"Azure did not finish a copy of {source} at {destination} ({status}).",
                fix="Packaging is tried again by itself.",
            )
        done = int((properties.copy.progress or "0").partition("/")[0])
        if done > copied:
            moved = time.monotonic()
        elif time.monotonic() - moved > _SECONDS:
            with clients.asking(destination, str(destination), permission=CONTRIBUTOR):
                blob.abort_copy(properties)
            raise TransientError(
                ErrorCode.TIMED_OUT,
                f"A copy of {source} at {destination} shows no progress for {_SECONDS:.0f} s.",
                fix="Packaging is tried again by itself.",
            )
        advance(done - copied)
        copied = done
        time.sleep(pause)
        pause = min(pause * 2, _LAST_LOOK)


def _changed(source: BlobAddress) -> PermanentError:
    return PermanentError(
        ErrorCode.MODEL_CHANGED,
        f"{source} changed while it was being packaged.",
        fix="Publish the run again when nothing writes to its models any more.",
    )
