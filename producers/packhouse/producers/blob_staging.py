"""Putting a run's models into blob storage, for engines whose disks no worker sees."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from packhouse.producers.models import Models, Unit
from packhouse.producers.staging import Progress
from packhouse.schemas.blob.address import BlobAddress
from packhouse.schemas.blob.copying import copy
from packhouse.schemas.blob.upload import upload
from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.events import FinishedRun

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

SAS_TOKEN: Final = "AZURE_STORAGE_SAS_TOKEN"  # noqa: S105 (the name of a variable)
"""Environment variable with a shared access signature; without it, one signs in as everywhere in Azure."""

_KEY_LENGTH: Final = 16
_CHUNK: Final = 4 << 20


def stage_to_blob(run: FinishedRun, url: str, *, progress: Progress | None = None) -> FinishedRun:
    """The run with its candidates' models in blobs below ``url``, ONNX models with their external data.

    Each distinct file is uploaded once; a second one with the same bytes is a copy that the service makes. Files have
    their place by their content, so what is there already is not sent again, a broken upload goes on where it ended,
    and staging and publishing a run twice is still one run. ``progress`` counts bytes read for digests and bytes put.

    Raises ``PermanentError`` as ``stage`` does, and with ``PermanentError`` and ``TransientError`` whatever Azure
    answers.
    """
    target = BlobAddress.parse(url)
    models = Models.of(run)
    files = {source.resolve() for unit in models.units.values() for source in unit.files.values()}
    bar = _Bar(progress, sum(2 * file.stat().st_size for file in files))
    digests = {file: _digest(file, bar.advance) for file in sorted(files)}
    with _container(target) as container:
        stager = _Stager(container, digests, bar)
        places = {folder: stager.put(unit, target) for folder, unit in models.units.items()}
    return models.moved(lambda folder, name: str(places[folder].child(name) if name else places[folder]), str(target))


class _Bar:
    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def advance(self, count: int) -> None:
        self._done += count
        if self._progress:
            self._progress(self._done, self._total)


@dataclass(frozen=True)
class _Digest:
    sha256: str
    size: int


class _Stager:
    """Puts units into blobs, each distinct file once."""

    def __init__(self, container: ContainerClient, digests: dict[Path, _Digest], bar: _Bar) -> None:
        self._container = container
        self._digests = digests
        self._bar = bar
        self._there: dict[str, BlobAddress] = {}
        self._counted: set[Path] = set()

    def put(self, unit: Unit, target: BlobAddress) -> BlobAddress:
        """Put a unit below the target; returns where it is."""
        place = target.child(self._key(unit))
        for relative, source in sorted(unit.files.items()):
            self._put(source.resolve(), place.child(relative))
        return place

    def _key(self, unit: Unit) -> str:
        """The same for the same files with the same names, wherever and whenever they were made."""
        lines = sorted((relative, self._digests[source.resolve()]) for relative, source in unit.files.items())
        text = "".join(f"{relative}\0{file.size}\0{file.sha256}\n" for relative, file in lines)
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:_KEY_LENGTH]

    def _put(self, file: Path, address: BlobAddress) -> None:
        digest = self._digests[file]
        # A file that lies in two units was counted once.
        advance: Callable[[int], None] = (lambda _: None) if file in self._counted else self._bar.advance
        self._counted.add(file)
        blob = self._container.get_blob_client(address.path)
        known = self._there.setdefault(digest.sha256, address)
        if known != address:
            source = self._container.get_blob_client(known.path)
            copy(source, blob, (str(known), str(address)), size=digest.size, sha256=digest.sha256, advance=advance)
            return
        with _reading(file), _File(file) as opened:
            upload(blob, opened, str(address), sha256=digest.sha256, advance=advance)


class _File:
    """A file of this machine, read anywhere."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self.size = os.fstat(self._file.fileno()).st_size

    def readinto(self, buffer: memoryview, at: int) -> int:
        self._file.seek(at)
        return self._file.readinto(buffer) or 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _digest(path: Path, advance: Callable[[int], None]) -> _Digest:
    digest, size, buffer = hashlib.sha256(), 0, memoryview(bytearray(_CHUNK))
    with _reading(path), path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
            size += count
            advance(count)
    return _Digest(digest.hexdigest(), size)


@contextmanager
def _reading(path: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise PermanentError(
            ErrorCode.MODEL_UNREADABLE,
            f"{path} cannot be read: {(error.strerror or str(error)).lower()}.",
            fix="Stage before the engine cleans its cache, as a user who may read its files.",
        ) from error


@contextmanager
def _container(address: BlobAddress) -> Generator[ContainerClient]:
    """A client of the target's container."""
    try:
        from azure.storage.blob import ContainerClient, ExponentialRetry
    except ImportError:
        raise PermanentError(
            ErrorCode.LOCATION_UNSUPPORTED,
            f"{address} is a blob, and the libraries for Azure are not installed here.",
            fix="Install them: pip install 'packhouse[azure]'. Or give --stage-to a folder.",
        ) from None
    with ContainerClient(
        address.account_url,
        address.container,
        _credential(),
        retry_policy=ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=4, random_jitter_range=1),
        connection_timeout=10,
        read_timeout=60,
        permit_redirects=False,
    ) as client:
        yield client


def _credential() -> Any:
    signature = os.environ.get(SAS_TOKEN, "").lstrip("?")
    if signature:
        from azure.core.credentials import AzureSasCredential

        return AzureSasCredential(signature)
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential()
