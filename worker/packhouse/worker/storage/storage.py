"""Where models are read from and packages are written to, whatever kind of place it is."""

from __future__ import annotations

from collections.abc import Iterator

from packhouse.schemas.base import is_url
from packhouse.schemas.errors import ErrorCode
from packhouse.schemas.events import AzureMLWorkspace, FinishedRun
from packhouse.worker.storage.blob.clients import BlobClients
from packhouse.worker.storage.blob.copies import BlobCopies
from packhouse.worker.storage.blob.source import Blobs
from packhouse.worker.storage.local import MAX_FILES, Roots
from packhouse.worker.storage.location import Location
from packhouse.worker.storage.readable import Readable


class Storage:
    """Everything that the event of one run may name."""

    def __init__(
        self,
        roots: Roots,
        blobs: BlobClients | None = None,
        workspace: AzureMLWorkspace | None = None,
        *,
        copies: BlobCopies | None = None,
    ) -> None:
        """``workspace`` is the one that the event names, where it names one: its datastores are meant.

        ``copies`` are where blobs are kept that several packages read; without, each reads them for itself.
        """
        self._roots = roots
        self._clients = blobs
        self._copies = copies
        self._blobs = Blobs(blobs, workspace, copies) if blobs else None

    def of(self, event: FinishedRun) -> Storage:
        """The storage as it is for a run."""
        return Storage(self._roots, self._clients, event.azureml, copies=self._copies)

    @property
    def blobs(self) -> Blobs | None:
        """The part that is blobs; None where this worker reaches none."""
        return self._blobs

    def open_file(self, location: Location, *, missing: ErrorCode = ErrorCode.MODEL_MISSING) -> Readable:
        """Open a file for reading.

        Raises ``PermanentError``: ``path_forbidden`` for what the settings do not allow, ``missing`` where nothing is
        there, ``model_unreadable`` where it may not be read or is no file, ``location_unsupported`` for a place of a
        kind that this worker cannot reach. Raises ``TransientError`` where the storage does not answer.
        """
        return self._of(location).open_file(location, missing=missing)

    def is_folder(self, location: Location, *, missing: ErrorCode = ErrorCode.MODEL_MISSING) -> bool:
        """Whether there is a folder. Raises as ``open_file`` where nothing is there, or nothing that may be seen."""
        return self._of(location).is_folder(location, missing=missing)

    def walk(self, folder: Location, *, max_files: int = MAX_FILES) -> Iterator[tuple[str, Location]]:
        """Every file below a folder: its path in there with forward slashes, and where it lies.

        Sorted by the bytes of the path in UTF-8. Raises as ``open_file``, and ``PermanentError``: ``layout_conflict``
        for a name that is not UTF-8 or holds control characters, for more than ``max_files`` files and for folders
        nested too deep, ``path_forbidden`` for links that go round in circles.
        """
        return self._of(folder).walk(folder, max_files=max_files)

    def open_output_folder(self, location: Location) -> int:
        """Descriptor of a folder to write into, made where it is missing. The caller closes it.

        Raises ``PermanentError`` (``path_forbidden``, ``destination_unwritable``, ``disk_full``,
        ``location_unsupported``) and ``TransientError`` (``storage_error``).
        """
        return self._roots.open_output_folder(location)

    def _of(self, location: Location) -> Roots | Blobs:
        """Who knows the place. Without blobs, the roots refuse an address as they refuse any that is no path."""
        return self._blobs if self._blobs and is_url(location.path) else self._roots
