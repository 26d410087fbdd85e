"""Copying a model's file from blob to blob, inside one account."""

from __future__ import annotations

from collections.abc import Callable

from packhouse.schemas.blob.address import BlobAddress
from packhouse.schemas.blob.copying import copy
from packhouse.worker.storage.blob.clients import BlobClients


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
    """Copy a blob, by the service. See ``copy``; returns False where it was there already."""
    if source.account != destination.account:
        raise ValueError(f"{source} and {destination} lie in two accounts")
    with clients.renewing(destination):
        return copy(
            clients.blob(source),
            clients.blob(destination),
            (str(source), str(destination)),
            size=size,
            sha256=sha256,
            etag=etag,
            advance=advance,
            confirm=confirm,
        )
