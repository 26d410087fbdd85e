"""Putting an asset's folder into its container: each weight over the wire once, each file checked."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Final

from packhouse.schemas.blob.address import BlobAddress
from packhouse.schemas.blob.upload import SHA256, upload
from packhouse.schemas.errors import ErrorCode, PermanentError, TransientError
from packhouse.worker.azure.content import AssetFile
from packhouse.worker.ledger import Notebook
from packhouse.worker.ledger.turns import alone
from packhouse.worker.packagers.base import Progress
from packhouse.worker.storage.blob.clients import BlobClients
from packhouse.worker.storage.blob.copying import copy_within_account
from packhouse.worker.storage.blob.failures import READER, status_of
from packhouse.worker.storage.blob.opened import OpenBlob
from packhouse.worker.storage.blob.sending import upload_file
from packhouse.worker.storage.readable import Readable

_NOT_FOUND: Final = 404
_IS_FOLDER: Final = "hdi_isfolder"

Opener = Callable[[AssetFile], AbstractContextManager[Readable]]
"""Opens the model file that an asset's file is, unchanged since the plan was made."""


@dataclass(frozen=True)
class Stored:
    """A blob as a listing tells of it."""

    size: int
    sha256: str | None


@dataclass(frozen=True)
class _Copyable:
    """A blob of the same account that has the bytes."""

    address: BlobAddress
    etag: str


class FolderWriter:
    """Fills folders for one package. Calls raise ``PermanentError``, ``TransientError`` and ``LeaseLost``."""

    def __init__(self, blobs: BlobClients, notebook: Notebook, progress: Progress, opened: Opener) -> None:
        self._blobs = blobs
        self._notebook = notebook
        self._progress = progress
        self._opened = opened

    @contextmanager
    def using(self, folder: BlobAddress) -> Generator[Callable[[], None]]:
        """Have a folder for oneself, safe from being collected. Gives a function to call while the work moves."""
        with alone(self._notebook, f"folder {folder}", lambda: self._progress.advance(0)) as keep:
            if not self._notebook.touch(str(folder)):
                raise TransientError(
                    ErrorCode.STORAGE_ERROR,
                    f"{folder} is being removed at this moment, since nothing referred to it.",
                    fix="It is made anew by itself.",
                )
            yield keep

    def fill(self, folder: BlobAddress, files: Sequence[AssetFile], keep: Callable[[], None]) -> None:
        """See that a folder holds these files and no others; what is there is checked and not sent again.

        Raises ``PermanentError`` (``asset_folder_damaged``, ``model_changed`` and others) and ``TransientError``.
        """
        there = self._list(folder)
        missing = [file for file in files if not _is_there(there, file, folder)]
        self._progress.advance(sum(file.size for file in files) - sum(file.size for file in missing))
        for file in missing:
            self._put(folder.child(file.path), file, keep)
        if missing:
            there = self._list(folder)
        _must_be_whole(there, files, folder)

    def _list(self, folder: BlobAddress) -> dict[str, Stored]:
        prefix = folder.path + "/"
        with self._blobs.asking(folder, f"the files of {folder}", permission=READER):
            listed = self._blobs.container(folder).list_blobs(name_starts_with=prefix, include=["metadata"])
            found = {str(blob.name): (int(blob.size), dict(blob.metadata or {})) for blob in listed}
        return {
            name.removeprefix(prefix): Stored(size, metadata.get(SHA256))
            for name, (size, metadata) in found.items()
            if _IS_FOLDER not in metadata
        }

    def _put(self, address: BlobAddress, file: AssetFile, keep: Callable[[], None]) -> None:
        if file.model is None:
            self._send_made(address, file)
            return
        weight = f"weight {address.account} {file.sha256}"
        with alone(self._notebook, weight, lambda: self._wait(keep)) as keep_weight:

            def advance(count: int) -> None:
                self._progress.advance(count)
                keep()
                keep_weight()

            if not self._copy_known(address, file, advance):
                with self._opened(file) as source:
                    self._copy_or_send(address, file, source, advance)
            self._notebook.keep_weight(address.account, file.sha256, f"{address.container}/{address.path}")

    def _wait(self, keep: Callable[[], None]) -> None:
        self._progress.advance(0)
        keep()

    def _send_made(self, address: BlobAddress, file: AssetFile) -> None:
        source = _Bytes((file.made or "").encode())
        with self._blobs.renewing(address):
            upload(
                self._blobs.blob(address),
                source,
                str(address),
                sha256=file.sha256,
                advance=self._progress.advance,
                confirm=self._progress.confirm,
            )

    def _copy_known(self, address: BlobAddress, file: AssetFile, advance: Callable[[int], None]) -> bool:
        """Copy a weight that was put into the account before; False where it is no longer there."""
        place = self._notebook.weight(address.account, file.sha256)
        if place is None:
            return False
        container, _, path = place.partition("/")
        known = self._look(BlobAddress(address.account, container, path), file)
        if known is None:
            return False
        try:
            self._copy(known, address, file, advance)
        except PermanentError as error:
            # It was removed after it was looked at: the file itself is still to be had.
            if error.code in (ErrorCode.MODEL_MISSING, ErrorCode.MODEL_CHANGED):
                return False
            raise
        return True

    def _copy_or_send(
        self, address: BlobAddress, file: AssetFile, source: Readable, advance: Callable[[int], None]
    ) -> None:
        if isinstance(source, OpenBlob) and source.address.account == address.account:
            self._copy(_Copyable(source.address, f'"{source.mark}"'), address, file, advance)
            return
        upload_file(self._blobs, address, source, sha256=file.sha256, advance=advance, confirm=self._progress.confirm)

    def _copy(self, source: _Copyable, address: BlobAddress, file: AssetFile, advance: Callable[[int], None]) -> None:
        copy_within_account(
            self._blobs,
            source.address,
            address,
            size=file.size,
            sha256=file.sha256,
            etag=source.etag,
            advance=advance,
            confirm=self._progress.confirm,
        )

    def _look(self, address: BlobAddress, file: AssetFile) -> _Copyable | None:
        from azure.core.exceptions import HttpResponseError

        with self._blobs.asking(address, str(address), permission=READER):
            try:
                found = self._blobs.blob(address).get_blob_properties()
            except HttpResponseError as error:
                if status_of(error) == _NOT_FOUND:
                    return None
                raise
        same = found.size == file.size and (found.metadata or {}).get(SHA256) == file.sha256
        return _Copyable(address, str(found.etag)) if same else None


class _Bytes:
    """Bytes in memory, read as a file is."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size(self) -> int:
        return len(self._data)

    def readinto(self, buffer: memoryview, at: int) -> int:
        piece = self._data[at : at + len(buffer)]
        buffer[: len(piece)] = piece
        return len(piece)


def _is_there(there: Mapping[str, Stored], file: AssetFile, folder: BlobAddress) -> bool:
    stored = there.get(file.path)
    if stored is not None and stored != Stored(file.size, file.sha256):
        raise _damaged(folder, f"{file.path} in it is not what it was when it was put there")
    return stored is not None


def _must_be_whole(there: Mapping[str, Stored], files: Iterable[AssetFile], folder: BlobAddress) -> None:
    expected = {file.path for file in files}
    for file in files:
        if not _is_there(there, file, folder):
            raise _damaged(folder, f"{file.path} has disappeared from it")
    for path in sorted(set(there) - expected):
        raise _damaged(folder, f"it holds {path}, which does not belong there")


def _damaged(folder: BlobAddress, what: str) -> PermanentError:
    return PermanentError(
        ErrorCode.ASSET_FOLDER_DAMAGED,
        f"{folder} cannot be registered: {what}.",
        fix="Somebody has written into Packhouse's folder. Remove what was changed, then packhouse retry.",
    )
