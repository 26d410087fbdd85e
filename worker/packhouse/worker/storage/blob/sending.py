"""Putting a file of a model into a blob."""

from __future__ import annotations

from collections.abc import Callable

from packhouse.schemas.blob.address import BlobAddress
from packhouse.schemas.blob.upload import Uploaded, upload
from packhouse.worker.storage.blob.clients import BlobClients
from packhouse.worker.storage.readable import Readable, must_be_unchanged


def upload_file(
    clients: BlobClients,
    address: BlobAddress,
    source: Readable,
    *,
    sha256: str,
    advance: Callable[[int], None] = lambda _: None,
    confirm: Callable[[], None] = lambda: None,
) -> Uploaded:
    """Put an open file whose digest is known into a blob. See ``upload``; raises what that and the file raise."""
    source.read_ahead()

    def still_the_same() -> None:
        must_be_unchanged(source)
        confirm()

    with clients.renewing(address):
        return upload(
            clients.blob(address), source, str(address), sha256=sha256, advance=advance, confirm=still_the_same
        )
