"""Where the stand-in keeps what it must know when it is started again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """A folder of the data folder, and what lies in it."""

    path: Path

    @property
    def identity(self) -> Path:
        """Ids and secrets."""
        return self.path / "identity.json"

    @property
    def certificates(self) -> Path:
        """The authority's certificate, and the servers' with its key."""
        return self.path / "certificates"

    @property
    def assets(self) -> Path:
        """Registered models and data."""
        return self.path / "assets"

    @property
    def blobs(self) -> Path:
        """Azurite's data."""
        return self.path / "blobs"

    def make(self) -> None:
        """Make the folders, for the owner alone."""
        for folder in (self.path, self.certificates, self.assets, self.blobs):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
