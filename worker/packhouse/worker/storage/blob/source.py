"""Blobs and folders of blobs, read as files and folders are."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from packhouse.schemas.blob.address import BlobAddress
from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.events import AzureMLWorkspace
from packhouse.worker.storage.blob.clients import BlobClients
from packhouse.worker.storage.blob.copies import BlobCopies
from packhouse.worker.storage.blob.failures import READER, code_of, status_of
from packhouse.worker.storage.blob.opened import OpenBlob, not_read
from packhouse.worker.storage.blob.shared import SharedBlob
from packhouse.worker.storage.failures import said, unreadable
from packhouse.worker.storage.local import MAX_FILES
from packhouse.worker.storage.location import Location

if TYPE_CHECKING:
    from azure.storage.blob import BlobProperties

_NOT_FOUND: Final = 404
_FOLDER: Final = "hdi_isfolder"
"""Metadata of the empty blob that stands for a folder in accounts that have real folders."""


class Blobs:
    """What the event of one run may name in blob storage, with the interface of ``Roots``."""

    def __init__(
        self, clients: BlobClients, workspace: AzureMLWorkspace | None, copies: BlobCopies | None = None
    ) -> None:
        self.clients = clients
        self._copies = copies
        self._workspace = workspace

    def address(self, location: Location) -> BlobAddress:
        """Which blob a place is. Raises ``PermanentError`` where it is none, or one that is not allowed."""
        return self.clients.address(location, self._workspace)

    def open_file(self, location: Location, *, missing: ErrorCode = ErrorCode.MODEL_MISSING) -> OpenBlob:
        """See ``Storage``."""
        address = self.address(location)
        properties = self._properties(address, location, missing)
        if properties is None:
            raise _absent(location, missing)
        if _is_folder(properties):
            raise unreadable(location.shown, "it is a folder")
        if properties.archive_status or properties.blob_tier == "Archive":
            raise unreadable(location.shown, "it lies in the archive tier")
        opened = self.clients.blob(address), self.clients, address, properties, location.shown
        return SharedBlob(*opened, self._copies) if self._copies else OpenBlob(*opened)

    def is_folder(self, location: Location, *, missing: ErrorCode = ErrorCode.MODEL_MISSING) -> bool:
        """See ``Storage``. A folder is a prefix that blobs lie below."""
        address = self.address(location)
        properties = self._properties(address, location, missing)
        if properties is not None:
            return _is_folder(properties)
        with self.clients.asking(address, said(location.shown), permission=READER, missing=missing):
            found = self.clients.container(address).list_blob_names(
                name_starts_with=_prefix(address), results_per_page=1
            )
            if next(iter(found), None) is None:
                raise _absent(location, missing)
        return True

    def walk(self, folder: Location, *, max_files: int = MAX_FILES) -> Iterator[tuple[str, Location]]:
        """See ``Storage``."""
        address = self.address(folder)
        prefix = _prefix(address)
        found: list[str] = []
        with self.clients.asking(address, said(folder.shown), permission=READER, missing=ErrorCode.MODEL_MISSING):
            for each in self.clients.container(address).list_blobs(name_starts_with=prefix, include=["metadata"]):
                if _is_folder(each):
                    continue
                found.append(_relative(each.name, prefix, folder))
                if len(found) > max_files:
                    raise _unpackable(folder, f"belongs to a model of more than {max_files} files")
        for relative in sorted(found, key=str.encode):
            yield relative, folder.child(relative)

    def _properties(self, address: BlobAddress, location: Location, missing: ErrorCode) -> BlobProperties | None:
        """What the service says of a blob; None where there is none of that name in the container."""
        from azure.core.exceptions import AzureError

        if not address.path:
            return None
        with self.clients.renewing(address):
            try:
                return self.clients.blob(address).get_blob_properties()
            except AzureError as error:
                if status_of(error) == _NOT_FOUND and code_of(error) != "ContainerNotFound":
                    return None
                raise not_read(error, location.shown, missing) from None


def _absent(location: Location, missing: ErrorCode) -> PermanentError:
    return PermanentError(
        missing,
        f"{said(location.shown)} is not there.",
        fix="Check the address, and that nothing has cleaned up since: the files must stay until packaged.",
    )


def _is_folder(properties: BlobProperties) -> bool:
    return (properties.metadata or {}).get(_FOLDER) == "true"


def _prefix(address: BlobAddress) -> str:
    return f"{address.path}/" if address.path else ""


def _relative(name: str, prefix: str, folder: Location) -> str:
    relative = name.removeprefix(prefix)
    odd = any(part in ("", ".", "..") for part in relative.split("/")) or "\\" in relative
    if odd or any(unicodedata.category(each) in ("Cc", "Cs") for each in relative):
        raise _unpackable(folder, f"holds a blob whose name is no path of a file ({relative[:100]!r})")
    return relative


def _unpackable(folder: Location, reason: str) -> PermanentError:
    return PermanentError(
        ErrorCode.LAYOUT_CONFLICT,
        f"{said(folder.shown)} {reason}.",
        fix="Leave in the model's folder only files of the model, with plain names.",
    )
