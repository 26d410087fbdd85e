"""A runtime package that is in the cache, as the cache's index tells it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final, Self

from packhouse.schemas.base import Document

CHUNK: Final = 1 << 20


class Fetched(Document):
    """A file, and what it said of itself when it was fetched."""

    name: str
    version: str
    file: str
    """Its name, without a folder."""
    size: int
    sha256: str
    requires: list[str]
    """Of a wheel, requirements as PEP 508 has them; of a NuGet package, ``id/version``."""

    @classmethod
    def of(cls, path: Path, *, name: str, version: str, requires: list[str]) -> Self:
        """The facts of a file on disk."""
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(
            name=name, version=version, file=path.name, size=path.stat().st_size, sha256=sha256, requires=requires
        )
