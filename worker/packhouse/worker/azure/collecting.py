"""Finding and removing the folders of assets that nothing registered refers to."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from packhouse.schemas.base import Digest
from packhouse.schemas.blob.address import BlobAddress
from packhouse.schemas.blob.upload import SHA256
from packhouse.worker.azure.access import Azure
from packhouse.worker.azure.choice import known_workspaces
from packhouse.worker.azure.content import assets_folder, digest_in_path
from packhouse.worker.ledger import Collector
from packhouse.worker.storage.blob.failures import CONTRIBUTOR, READER, status_of

_NOT_FOUND: Final = 404
_REMOVING: Final = 120.0
"""Seconds for which nobody may use a folder while one of its files is removed."""
_MARGIN: Final = 5.0
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


class Verdict(StrEnum):
    """What becomes of a folder."""

    KEPT = "kept"
    """Something registered refers to it."""
    YOUNG = "young"
    """Nothing refers to it, but it was written to within the grace time."""
    IN_USE = "in_use"
    """Nothing refers to it, but a worker is about to, or was within the grace time."""
    UNUSED = "unused"
    """It would be removed."""
    REMOVED = "removed"


@dataclass
class Folder:
    """A folder of an asset as it lies in its container."""

    address: BlobAddress
    digest: Digest
    bytes: int = 0
    newest: datetime = _NEVER
    files: dict[str, str | None] = field(default_factory=dict)
    """Path in the container to SHA-256, where the file says it."""

    def add(self, path: str, size: int, written: datetime, sha256: str | None) -> None:
        """One more file."""
        self.files[path] = sha256
        self.bytes += size
        self.newest = max(self.newest, written)


@dataclass(frozen=True)
class Judged:
    """A folder and what becomes of it."""

    folder: Folder
    verdict: Verdict


class Collection:
    """One round over every container that this worker's workspaces put assets into.

    Calls raise ``PermanentError`` and ``TransientError`` for what Azure answers.
    """

    def __init__(self, azure: Azure, collector: Collector, grace: timedelta) -> None:
        self._azure = azure
        self._collector = collector
        self._grace = grace
        self._began = time.monotonic()

    def judge(self) -> list[Judged]:
        """Every folder, oldest first. Removes nothing."""
        # The folders first: what is registered meanwhile is in the list of references that is read after.
        found = [folder for root in self._roots() for folder in self._folders(root)]
        self._began = time.monotonic()
        referred = self._references()
        oldest = datetime.now(UTC) - self._grace
        return [Judged(each, judge(each, referred, oldest)) for each in sorted(found, key=lambda each: each.newest)]

    def remove(self, judged: Judged) -> Judged:
        """Remove an unused folder, unless a worker has begun to use it since it was judged."""
        folder = judged.folder
        name = str(folder.address)
        # Whoever registered it since the references were read has begun to use it since then.
        unused = max(self._grace.total_seconds(), time.monotonic() - self._began + _MARGIN)
        if not self._collector.take(name, unused=unused, seconds=_REMOVING):
            return Judged(folder, Verdict.IN_USE)
        try:
            for path, sha256 in sorted(folder.files.items(), reverse=True):
                self._collector.take(name, unused=0, seconds=_REMOVING)  # holds it for as long again
                self._delete(BlobAddress(folder.address.account, folder.address.container, path))
                if sha256:
                    place = f"{folder.address.container}/{path}"
                    self._collector.forget_weight(folder.address.account, sha256, place)
        finally:
            self._collector.give_back(name)
        return Judged(folder, Verdict.REMOVED)

    def _roots(self) -> list[BlobAddress]:
        settings = self._azure.settings
        stores = [self._azure.asset_store(workspace).root for workspace in known_workspaces(settings)]
        return list(dict.fromkeys(stores))

    def _references(self) -> set[Digest]:
        """The digests of all that is registered in any workspace of the settings."""
        workspaces = known_workspaces(self._azure.settings)
        paths = (path for each in workspaces for path in self._azure.workspace(each).assets.paths())
        return {digest for path in paths if (digest := digest_in_path(path))}

    def _folders(self, root: BlobAddress) -> Iterable[Folder]:
        folders: dict[str, Folder] = {}
        for path, blob in self._blobs(root):
            digest = digest_in_path(path)
            if digest is None:
                continue
            home = path[: path.index(digest.removeprefix("sha256:")) + 64]
            if home != f"{assets_folder(self._azure.settings.azure_prefix)}/{digest.removeprefix('sha256:')}":
                continue
            folder = folders.setdefault(home, Folder(root.child(home), digest))
            folder.add(path, int(blob.size or 0), blob.last_modified, (blob.metadata or {}).get(SHA256))
        return folders.values()

    def _blobs(self, root: BlobAddress) -> Iterator[tuple[str, Any]]:
        prefix = assets_folder(self._azure.settings.azure_prefix) + "/"
        clients = self._azure.blobs
        with clients.asking(root, f"the files of {root}/{prefix}", permission=READER):
            for blob in clients.container(root).list_blobs(name_starts_with=prefix, include=["metadata"]):
                yield str(blob.name), blob

    def _delete(self, address: BlobAddress) -> None:
        from azure.core.exceptions import HttpResponseError

        clients = self._azure.blobs
        with clients.asking(address, str(address), permission=CONTRIBUTOR):
            try:
                clients.blob(address).delete_blob(delete_snapshots="include")
            except HttpResponseError as error:
                if status_of(error) != _NOT_FOUND:
                    raise


def judge(folder: Folder, referred: set[Digest], oldest: datetime) -> Verdict:
    """What becomes of a folder when ``referred`` digests are registered; younger ones than ``oldest`` stay."""
    if folder.digest in referred:
        return Verdict.KEPT
    return Verdict.YOUNG if folder.newest > oldest else Verdict.UNUSED
