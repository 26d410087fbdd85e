"""A package that becomes a blob, and what the blob was before."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import PurePosixPath
from typing import IO, Final, cast

from packhouse.schemas.blob.address import BlobAddress
from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.status import Replaced
from packhouse.worker.packagers.replaced import bounded, digest_in
from packhouse.worker.storage.blob.sink import published_blob
from packhouse.worker.storage.blob.source import Blobs
from packhouse.worker.storage.location import Location
from packhouse.worker.storage.readable import Readable, read_full
from packhouse.worker.storage.sink import Sink

_MEDIA_TYPES: Final = {".zip": "application/zip", ".html": "text/html; charset=utf-8"}


class BlobDestination:
    """The place of a block blob: a ``Destination``."""

    def __init__(self, blobs: Blobs, address: BlobAddress, location: Location) -> None:
        self._blobs = blobs
        self._address = address
        self._location = location

    @property
    def key(self) -> str:
        """See ``Destination``."""
        return f"blob:{self._address}"

    def replaced(self) -> Replaced | None:
        """See ``Destination``."""
        try:
            with self._blobs.open_file(self._location, missing=ErrorCode.MODEL_MISSING) as blob:
                return Replaced(bytes=blob.size, digest=digest_in(cast("IO[bytes]", _Raw(blob))))
        except PermanentError as error:
            if error.code in (ErrorCode.MODEL_MISSING, ErrorCode.MODEL_CHANGED):
                return None
            raise

    def published(self, *, needed: int, entries: int, confirm: Callable[[], None]) -> AbstractContextManager[Sink]:
        """See ``Destination``."""
        return published_blob(
            self._blobs.clients,
            self._address,
            needed=needed,
            entries=entries,
            confirm=confirm,
            media_type=_MEDIA_TYPES[PurePosixPath(self._address.path).suffix],
        )

    def discard(self) -> None:
        """Nothing: blocks that no list commits are the service's to remove, within a week."""


class _Raw(io.RawIOBase):
    """A ``Readable`` as Python's own libraries read files."""

    def __init__(self, source: Readable) -> None:
        super().__init__()
        self._source = source
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._source.size}[whence]
        if base + offset < 0:
            raise ValueError("a place before the beginning")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        count = min(bounded(size), max(self._source.size - self._at, 0))
        data = read_full(self._source, memoryview(bytearray(count)), self._at).tobytes()
        self._at += count
        return data
