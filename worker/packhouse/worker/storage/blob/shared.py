"""A blob whose bytes come over the wire once for all who read it on this machine."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from packhouse.schemas.blob.address import BlobAddress
from packhouse.worker.storage.blob.clients import PIECE, BlobClients
from packhouse.worker.storage.blob.copies import BlobCopies, Copy, NoCopy
from packhouse.worker.storage.blob.opened import OpenBlob

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient, BlobProperties


class SharedBlob(OpenBlob):
    """Read from a copy on disk where there is one. One is made of what is read in order, and of what is small."""

    def __init__(
        self,
        blob: BlobClient,
        clients: BlobClients,
        address: BlobAddress,
        properties: BlobProperties,
        shown: str,
        copies: BlobCopies,
    ) -> None:
        super().__init__(blob, clients, address, properties, shown)
        self._copies = copies
        self._copy: Copy | None = None
        self._looked = False
        self._in_order = False
        self._piece = memoryview(b"")

    def readinto(self, buffer: memoryview, at: int) -> int:
        """See ``Readable``."""
        if not self._looked:
            self._looked = True
            open_copy = self._copies.join if self.size <= PIECE else self._copies.whole
            self._copy = self._copy or open_copy(self.identity(), self.size)
        if self._copy is not None and buffer:
            try:
                return self._copy.readinto(buffer, at, self._fetch_piece)
            except NoCopy:
                self._let_go()
        if self._in_order:
            super().read_ahead()
        return super().readinto(buffer, at)

    def read_ahead(self) -> None:
        """See ``Readable``."""
        self._in_order = True
        if self._copy is None:
            self._copy = self._copies.join(self.identity(), self.size)
            self._looked = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._let_go()
        super().__exit__(kind, error, trace)

    def _fetch_piece(self, at: int) -> memoryview:
        """The next bytes from over the wire, while others are on their way."""
        if not self._piece:
            self._piece = memoryview(bytearray(min(PIECE, self.size)))
        if self._in_order:
            super().read_ahead()
        wanted = min(len(self._piece), self.size - at)
        done = 0
        while done < wanted:
            done += super().readinto(self._piece[done:wanted], at + done)
        return self._piece[:wanted]

    def _let_go(self) -> None:
        if self._copy is not None:
            self._copy.close()
            self._copy = None
