"""Blobs of the stand-in as the worker reaches them, and as a test looks at them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from support.azure import AzureStandIn

from packhouse.schemas.blob.address import BlobAddress
from packhouse.schemas.events import AzureMLWorkspace
from packhouse.worker.storage.blob.access import AllowList
from packhouse.worker.storage.blob.clients import BlobClients
from packhouse.worker.storage.local import Roots
from packhouse.worker.storage.location import Location
from packhouse.worker.storage.storage import Storage

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient


class Signed:
    """Access by shared access signatures that last as long as a test says."""

    def __init__(self, azure: AzureStandIn, allowed: Iterable[str]) -> None:
        self.azure = azure
        self.allowed = AllowList(allowed)
        self.seconds = 3600.0
        self.permissions = "racwdl"
        self.refusals = 0
        self.signatures: list[str] = []
        self._credentials: dict[BlobAddress, Any] = {}

    def allows(self, address: BlobAddress) -> bool:
        return address in self.allowed

    def credential(self, address: BlobAddress) -> Any:
        if address not in self._credentials:
            self._credentials[address] = self._sign(address)
        return self._credentials[address]

    def refused(self, address: BlobAddress) -> None:
        self.refusals += 1
        self._credentials.pop(address, None)

    def datastore(self, name: str, workspace: AzureMLWorkspace | None) -> BlobAddress:
        assert (name, workspace) == ("workspaceblobstore", None)
        return BlobAddress(self.azure.account, self.azure.container)

    def _sign(self, address: BlobAddress) -> Any:
        from azure.core.credentials import AzureSasCredential
        from azure.storage.blob import generate_container_sas

        signature = generate_container_sas(
            address.account,
            address.container,
            account_key=self.azure.identity.account_key(address.account),
            permission=self.permissions,
            expiry=datetime.now(UTC) + timedelta(seconds=self.seconds),
            protocol="https",
        )
        self.signatures.append(signature)
        return AzureSasCredential(signature)


class BlobPlace:
    """The default container of the stand-in."""

    def __init__(self, azure: AzureStandIn) -> None:
        self.azure = azure
        self.root = BlobAddress(azure.account, azure.container)
        self.access = Signed(azure, [f"{azure.account}/{azure.container}"])
        self.clients = BlobClients(self.access)
        self.storage = Storage(Roots([]), self.clients)

    @cached_property
    def container(self) -> ContainerClient:
        """For looking at things behind the worker's back."""
        from azure.storage.blob import ContainerClient

        key = {"account_name": self.root.account, "account_key": self.azure.identity.account_key(self.root.account)}
        return ContainerClient(self.root.account_url, self.root.container, key)

    def put(self, path: str, data: bytes, **more: Any) -> BlobAddress:
        self.container.upload_blob(path, data, overwrite=True, **more)
        return self.root.child(path)

    def content(self, path: str) -> bytes:
        return self.container.download_blob(path).readall()

    def names(self) -> list[str]:
        return sorted(self.container.list_blob_names())

    def at(self, path: str) -> Location:
        return Location(str(self.root.child(path)), str(self.root.child(path)))

    def close(self) -> None:
        self.clients.close()
        self.container.close()

    def sent(self, path: str = "") -> int:
        """Bytes that went to blobs, counted at the server."""
        return self.azure.sent_to_blobs(path)
