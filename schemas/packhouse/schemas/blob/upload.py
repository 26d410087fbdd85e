"""Putting a file into a block blob, once: resumed where an attempt before ended, whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from packhouse.schemas.blob.blocks import BlockSender, block_size
from packhouse.schemas.blob.failures import asking, code_of, failure, lost_race, status_of
from packhouse.schemas.errors import ErrorCode, PermanentError, TransientError
from packhouse.schemas.protobuf import RandomAccess

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient

SHA256: Final = "sha256"
"""Name of the metadata that holds the digest of a blob's bytes."""

PERMISSION: Final = "the role Storage Blob Data Contributor"
_SMALL: Final = 256 * 1024
_NOT_FOUND: Final = 404
_BLOCKS_GONE: Final = "InvalidBlockList"


@dataclass(frozen=True)
class Uploaded:
    """What an upload came to."""

    bytes_sent: int
    """Bytes of the file that went over the wire, as far as this attempt sent them."""
    already: bool
    """Whether the blob was there, or somebody else was faster."""


def upload(
    blob: BlobClient,
    source: RandomAccess,
    what: str,
    *,
    sha256: str,
    advance: Callable[[int], None] = lambda _: None,
    confirm: Callable[[], None] = lambda: None,
) -> Uploaded:
    """Put a file of the digest given into a blob that is not there yet, or holds the same bytes.

    The blob appears when its last byte is there. Blocks that an attempt before left are not sent again. ``advance``
    hears of bytes that are done, ``confirm`` (which may raise) is called before anybody can see the blob; ``what`` is
    how errors call it. Uses 32 MiB for buffers, more only for files above 1.5 TB.

    Raises ``PermanentError``: ``model_changed`` where the file has another digest, ``destination_taken`` where the
    blob holds something else; and what ``asking`` raises.
    """
    if source.size <= _SMALL:
        return _upload_small(blob, source, what, sha256, advance, confirm)
    with asking(what, permission=PERMISSION):
        if is_there(blob, source.size, sha256, what):
            advance(source.size)
            return Uploaded(0, already=True)
        there = blocks_of(blob)
    with BlockSender(stage_into(blob, what), block_size(source.size), there=there, advance=advance) as sender:
        digest = _send(source, sender)
        ids = sender.ids()
    _must_be(digest, sha256, what)
    confirm()
    return Uploaded(sender.sent, already=not _commit_new(blob, ids, source.size, sha256, what))


def blocks_of(blob: BlobClient, *, committed: bool = False) -> Mapping[str, int]:
    """The ids of a blob's blocks that nobody has committed, or of all, with their bytes.

    Exceptions of the Azure libraries pass.
    """
    from azure.core.exceptions import HttpResponseError

    try:
        there, uncommitted = blob.get_block_list("all" if committed else "uncommitted")
    except HttpResponseError as error:
        if status_of(error) == _NOT_FOUND and code_of(error) != "ContainerNotFound":
            return {}
        raise
    return {block.id: block.size for block in (*there, *uncommitted)}


def is_there(blob: BlobClient, size: int, sha256: str, what: str) -> bool:
    """Whether a blob of these bytes is there. Raises ``destination_taken`` where it holds something else.

    Exceptions of the Azure libraries pass.
    """
    from azure.core.exceptions import HttpResponseError

    try:
        properties = blob.get_blob_properties()
    except HttpResponseError as error:
        if status_of(error) == _NOT_FOUND and code_of(error) != "ContainerNotFound":
            return False
        raise
    if properties.size == size and (properties.metadata or {}).get(SHA256) == sha256:
        return True
    raise PermanentError(
        ErrorCode.DESTINATION_TAKEN,
        f"{what} is there already and holds something else.",
        fix="Remove that blob if it is not needed, and try again.",
    )


def stage_into(blob: BlobClient, what: str) -> Callable[[str, memoryview], None]:
    """What sends one block of a blob."""

    def stage(name: str, data: memoryview) -> None:
        with asking(what, permission=PERMISSION):
            blob.stage_block(name, data, length=len(data))  # pyright: ignore[reportArgumentType] -- any buffer will do

    return stage


def _send(source: RandomAccess, sender: BlockSender) -> str:
    digest = hashlib.sha256()
    for place, at in enumerate(range(0, source.size, sender.size)):
        buffer = sender.buffer()
        data = _read(source, buffer[: min(sender.size, source.size - at)], at)
        sender.send([(place, data)], buffer)
        digest.update(data)
    return digest.hexdigest()


def _read(source: RandomAccess, buffer: memoryview, at: int) -> memoryview:
    done = 0
    while done < len(buffer) and (count := source.readinto(buffer[done:], at + done)):
        done += count
    return buffer[:done]


def _must_be(digest: str, sha256: str, what: str) -> None:
    if digest != sha256:
        raise PermanentError(
            ErrorCode.MODEL_CHANGED,
            f"The file for {what} changed while it was being uploaded.",
            fix="See that nothing writes to it any more, and try again.",
        )


def commit(blob: BlobClient, ids: list[str], what: str, *, media_type: str) -> None:
    """Make a blob of its blocks, in the place of what is there."""
    from azure.core.exceptions import HttpResponseError
    from azure.storage.blob import BlobBlock, ContentSettings

    with asking(what, permission=PERMISSION):
        try:
            blob.commit_block_list(
                [BlobBlock(name) for name in ids], content_settings=ContentSettings(content_type=media_type)
            )
        except HttpResponseError as error:
            if code_of(error) != _BLOCKS_GONE:
                raise
            raise _discarded(what) from None


def _commit_new(blob: BlobClient, ids: list[str], size: int, sha256: str, what: str) -> bool:
    """Make a blob of its blocks. Returns False where somebody else has made the same one before."""
    from azure.core import MatchConditions
    from azure.core.exceptions import HttpResponseError
    from azure.storage.blob import BlobBlock

    try:
        blob.commit_block_list(
            [BlobBlock(name) for name in ids], metadata={SHA256: sha256}, match_condition=MatchConditions.IfMissing
        )
    except HttpResponseError as error:
        # Who commits first takes away the blocks of the others, which the service then may not know any more.
        if not (lost_race(error) or code_of(error) == _BLOCKS_GONE):
            raise failure(error, what, PERMISSION) from None
        with asking(what, permission=PERMISSION):
            if is_there(blob, size, sha256, what):
                return False
        raise _discarded(what) from None
    return True


def _discarded(what: str) -> TransientError:
    return TransientError(
        ErrorCode.AZURE_UNAVAILABLE,
        f"Blocks of {what} were discarded while others were being sent.",
        fix="It is tried again by itself.",
    )


def _upload_small(
    blob: BlobClient,
    source: RandomAccess,
    what: str,
    sha256: str,
    advance: Callable[[int], None],
    confirm: Callable[[], None],
) -> Uploaded:
    """One request where the blob is not there."""
    from azure.core.exceptions import HttpResponseError

    data = _read(source, memoryview(bytearray(source.size)), 0).tobytes()
    _must_be(hashlib.sha256(data).hexdigest(), sha256, what)
    confirm()
    with asking(what, permission=PERMISSION):
        try:
            blob.upload_blob(data, length=len(data), metadata={SHA256: sha256}, overwrite=False)
            already = False
        except HttpResponseError as error:
            already = lost_race(error) and is_there(blob, source.size, sha256, what)
            if not already:
                raise
    advance(source.size)
    return Uploaded(0 if already else len(data), already=already)
