"""Whether a file is a package of ours, whatever it may be."""

from __future__ import annotations

import zipfile
import zlib
from typing import IO, Final

from packhouse.schemas.base import Digest
from packhouse.schemas.files import MANIFEST, Manifest
from packhouse.worker.package.manifest import package_digest

MOST_READ: Final = 64 * 1024 * 1024
"""Bytes that are read into memory at once at most."""


def digest_in(file: IO[bytes]) -> Digest | None:
    """The digest of a package; None for any other file. No great part of it is read into memory at once.

    Raises what reading the file raises, but ``OSError``.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            entry = archive.getinfo(MANIFEST)
            if entry.file_size > MOST_READ:
                return None
            with archive.open(entry) as manifest:
                data = manifest.read(MOST_READ)
        Manifest.model_validate_json(data)
        return package_digest(data)
    # What a foreign file makes the reader raise; in none of these cases is it a package of ours.
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, RuntimeError, NotImplementedError):
        return None


def bounded(size: int | None) -> int:
    """How many bytes to read at once, where so many are asked for. Raises ``ValueError`` for too many."""
    most = MOST_READ if size is None or size < 0 else size
    if most > MOST_READ:
        raise ValueError(f"{most} bytes at once are too many")
    return most
