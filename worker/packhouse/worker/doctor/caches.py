"""What processes of one machine share: digests of files, and copies of blobs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from packhouse.worker.azure.choice import known_workspaces
from packhouse.worker.doctor.finding import Finding, ok, warning
from packhouse.worker.doctor.trials import not_writable
from packhouse.worker.settings import Settings
from packhouse.worker.storage.blob.copies import LEFT_FREE
from packhouse.worker.storage.cache_folder import boot_id, cache_folder

_DIGESTS = "digests"
_BLOBS = "blobs"


def check_shared(settings: Settings) -> Iterator[Finding]:
    """Whether digests and blobs can be kept for other packages. Packaging works without, only slower."""
    folder = cache_folder(settings.cache_dir)
    if (reason := not_writable(folder)) is not None:
        yield warning(
            _DIGESTS,
            f"Nothing can be written into the cache folder {folder} ({reason}): each package digests its files anew.",
            "Let the worker's user write it, or name another one in PACKHOUSE_CACHE_DIR.",
        )
        return
    if boot_id() is None:
        yield warning(
            _DIGESTS,
            "This machine does not tell one run of its kernel from another: each package digests its files anew.",
            "Nothing is wrong; it is so outside Linux, and where /proc cannot be read.",
        )
        return
    yield ok(_DIGESTS, f"What was digested is known to all workers that have the cache folder {folder}.")
    if not (settings.azure_accounts or known_workspaces(settings)):
        return
    if not settings.blob_cache_bytes:
        yield ok(_BLOBS, "Of blobs nothing is kept (PACKHOUSE_BLOB_CACHE_BYTES=0): each package reads them for itself.")
        return
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(there).free - LEFT_FREE
    if free <= 0:
        yield warning(
            _BLOBS,
            f"The disk of {folder} is so full that no blob is kept there: each package reads them for itself.",
            "Free at least 1 GiB and what the models take, or name a folder on another disk in PACKHOUSE_CACHE_DIR.",
        )
        return
    most = min(free, settings.blob_cache_bytes)
    yield ok(_BLOBS, f"As things are, up to {most} bytes of blobs are kept there (PACKHOUSE_BLOB_CACHE_BYTES).")
