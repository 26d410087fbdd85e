"""The blob clients of this process, one for each container."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from packhouse.schemas.blob.address import BlobAddress, DatastorePath, is_datastore_path
from packhouse.schemas.errors import ErrorCode, PackhouseError, PermanentError, TransientError
from packhouse.schemas.events import AzureMLWorkspace
from packhouse.worker.storage.blob.access import Access, end_of, must_be_allowed
from packhouse.worker.storage.blob.failures import asking
from packhouse.worker.storage.location import Location

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient, ContainerClient

PIECE: Final = 4 << 20
"""Bytes of one request that reads."""

_NEW: Final = "A new one is asked for, and it is tried again by itself. If it lasts, check this machine's clock."
_STALE: Final = {ErrorCode.AZURE_SIGN_IN_FAILED, ErrorCode.AZURE_FORBIDDEN}


class BlobClients:
    """Makes clients when they are first needed; what is asked of them is short of time and of retries.

    The ledger tries again what fails, and holds no process meanwhile.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._clients: dict[BlobAddress, tuple[Any, ContainerClient]] = {}
        self._lock = threading.Lock()

    def address(self, location: Location, workspace: AzureMLWorkspace | None) -> BlobAddress:
        """The blob that an event names. Raises ``PermanentError`` where that is none, or one that is not allowed."""
        if is_datastore_path(location.path):
            place = DatastorePath.parse(location.path)
            address = self._access.datastore(place.datastore, workspace).child(place.path)
        else:
            address = BlobAddress.parse(location.path)
        must_be_allowed(address, self._access)
        return address

    def container(self, address: BlobAddress) -> ContainerClient:
        """The client of an address's container."""
        root = address.root
        credential = self._access.credential(root)
        with self._lock:
            known = self._clients.get(root)
            if known is None or known[0] is not credential:
                # What is replaced is not closed: another thread may be using it.
                known = self._clients[root] = (credential, _client(root, credential))
            return known[1]

    def blob(self, address: BlobAddress) -> BlobClient:
        """The client of a blob; making it sends nothing."""
        return self.container(address).get_blob_client(address.path)

    def close(self) -> None:
        """Close all connections; the next use opens new ones."""
        with self._lock:
            for _, client in self._clients.values():
                client.close()
            self._clients.clear()

    @contextmanager
    def asking(
        self, address: BlobAddress, what: str, *, permission: str, missing: ErrorCode = ErrorCode.AZURE_NOT_FOUND
    ) -> Generator[None]:
        """As ``failures.asking``; a credential that the service no longer takes is given up."""
        with self.renewing(address), asking(what, permission=permission, missing=missing):
            yield

    @contextmanager
    def renewing(self, address: BlobAddress) -> Generator[None]:
        """Within it, an error that says so gives up the credential of the address's container.

        A refusal after the end of a signature is transient, whatever the service calls it: there will be a new one.
        """
        try:
            yield
        except PackhouseError as error:
            if error.code not in _STALE:
                raise
            ended = self._has_ended(address)
            self._access.refused(address.root)
            if ended and isinstance(error, PermanentError):
                raise TransientError(error.code, f"The signature has run out: {error.message}", fix=_NEW) from None
            raise

    def _has_ended(self, address: BlobAddress) -> bool:
        """Whether what opens the container is a signature that says that its time is over."""
        with self._lock:
            credential = self._clients.get(address.root, (None,))[0]
        signature = getattr(credential, "signature", None)
        end = end_of(signature) if isinstance(signature, str) else None
        return end is not None and end <= time.time()


def _client(root: BlobAddress, credential: Any) -> ContainerClient:
    from azure.storage.blob import ContainerClient, ExponentialRetry

    return ContainerClient(
        root.account_url,
        root.container,
        credential,
        retry_policy=ExponentialRetry(initial_backoff=1, increment_base=1, retry_total=2, random_jitter_range=1),
        connection_timeout=10,
        read_timeout=60,
        permit_redirects=False,  # The library would ask any host that an answer names.
        max_single_get_size=PIECE,
        max_chunk_get_size=PIECE,
    )
