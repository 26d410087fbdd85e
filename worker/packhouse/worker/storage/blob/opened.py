"""A blob, open for reading."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from packhouse.schemas.blob.address import BlobAddress
from packhouse.schemas.errors import ErrorCode
from packhouse.worker.storage.blob.clients import PIECE, BlobClients
from packhouse.worker.storage.blob.failures import READER, failure, status_of
from packhouse.worker.storage.failures import said
from packhouse.worker.storage.readable import model_changed

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient, BlobProperties

_AHEAD: Final = 3
"""Pieces on their way at once while a blob is read in order."""
_WINDOW: Final = 64 * 1024
"""Bytes read at least, where a blob is not read in order: headers lie beside each other."""
BLOB_IDENTITY: Final = "blob "
"""How the identities of blobs begin, which hold everywhere."""
_CHANGED: Final = 412


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

    def identity(self) -> str:
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
                raise not_read(error, self.shown, ErrorCode.MODEL_MISSING) from None
        if len(data) != count:
            raise model_changed(self, f"it ends after {at + len(data)} bytes")
        return data


def not_read(error: Exception, shown: str, missing: ErrorCode) -> Exception:
    """What an error of the Azure libraries means for who wanted to read a blob."""
    return failure(error, said(shown), READER, missing)
