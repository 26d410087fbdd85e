"""Blobs and folders of blobs, read as files and folders are."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from packhouse.schemas.blob.address import BlobAddress
from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.events import AzureMLWorkspace
from packhouse.worker.storage.blob.clients import PIECE, BlobClients
from packhouse.worker.storage.blob.failures import READER, code_of, failure, status_of
from packhouse.worker.storage.failures import said, unreadable
from packhouse.worker.storage.local import MAX_FILES
from packhouse.worker.storage.location import Location
from packhouse.worker.storage.readable import model_changed

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient, BlobProperties

_AHEAD: Final = 3
"""Pieces on their way at once while a blob is read in order."""
_WINDOW: Final = 64 * 1024
"""Bytes read at least, where a blob is not read in order: headers lie beside each other."""
BLOB_IDENTITY: Final = "blob "
"""How the identities of blobs begin, which hold everywhere."""
_NOT_FOUND: Final = 404
_CHANGED: Final = 412
_FOLDER: Final = "hdi_isfolder"
"""Metadata of the empty blob that stands for a folder in accounts that have real folders."""


class OpenBlob:
    """A blob, open for reading: a ``Readable``. Every read asks for the version that was there when it was opened."""

    def __init__(
        self, blob: BlobClient, clients: BlobClients, address: BlobAddress, properties: BlobProperties, shown: str
    ) -> None:
        self.size: int = properties.size
        self.mark = str(properties.etag).strip('"')
        self.real = str(address)
        self.shown = shown
        self.address = address
        self.metadata: dict[str, str] = properties.metadata or {}
        self._etag = properties.etag
        self._blob = blob
        self._clients = clients
        self._window = b""
        self._base = 0
        self._threads: ThreadPoolExecutor | None = None
        self._coming: dict[int, Future[bytes]] = {}

    def readinto(self, buffer: memoryview, at: int) -> int:
        """See ``Readable``."""
        if at >= self.size or not buffer:
            return 0
        inside = at - self._base
        if not 0 <= inside < len(self._window):
            self._base, self._window = self._fetch_around(at, len(buffer))
            inside = at - self._base
        piece = memoryview(self._window)[inside : inside + len(buffer)]
        buffer[: len(piece)] = piece
        return len(piece)

    def read_ahead(self) -> None:
        """See ``Readable``."""
        if self._threads is None and self.size > PIECE:
            self._threads = ThreadPoolExecutor(_AHEAD, thread_name_prefix="blob-reader")

    def changed(self) -> str | None:
        """See ``Readable``: a read of other bytes has raised already."""
        return None

    def identity(self) -> str | None:
        """See ``Readable``: the same on all machines."""
        return f"{BLOB_IDENTITY}{self.address} {self.mark} {self.size}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._window = b""
        self._coming.clear()
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)

    def _fetch_around(self, at: int, count: int) -> tuple[int, bytes]:
        if self._threads is None:
            return at, self._fetch(at, max(count, _WINDOW))
        base = at // PIECE * PIECE
        self._window = b""
        wanted = range(base, min(base + PIECE * _AHEAD, self.size), PIECE)
        self._coming = {start: coming for start, coming in self._coming.items() if start in wanted}
        for start in wanted:
            if start not in self._coming:
                self._coming[start] = self._threads.submit(self._fetch, start, PIECE)
        return base, self._coming.pop(base).result()

    def _fetch(self, at: int, count: int) -> bytes:
        from azure.core import MatchConditions
        from azure.core.exceptions import AzureError

        count = min(count, PIECE, self.size - at)
        with self._clients.renewing(self.address):
            try:
                data = self._blob.download_blob(
                    at, count, etag=self._etag, match_condition=MatchConditions.IfNotModified
                ).readall()
            except AzureError as error:
                if status_of(error) == _CHANGED:
                    raise model_changed(self, "it was written to meanwhile") from None
                raise _not_read(error, self.shown, ErrorCode.MODEL_MISSING) from None
        if len(data) != count:
            raise model_changed(self, f"it ends after {at + len(data)} bytes")
        return data


class Blobs:
    """What the event of one run may name in blob storage, with the interface of ``Roots``."""

    def __init__(self, clients: BlobClients, workspace: AzureMLWorkspace | None) -> None:
        self.clients = clients
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
        return OpenBlob(self.clients.blob(address), self.clients, address, properties, location.shown)

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
                raise _not_read(error, location.shown, missing) from None


def _not_read(error: Exception, shown: str, missing: ErrorCode) -> Exception:
    return failure(error, said(shown), READER, missing)


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
