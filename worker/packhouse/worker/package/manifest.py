"""``manifest.json``: every file of a package with its size and digest, and where the package comes from.

The digest of the manifest is the digest of the package: it names every byte of every file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final, Self

from packhouse.schemas.base import Digest
from packhouse.schemas.checks import ModelCheck
from packhouse.schemas.cloudevent import RunRef
from packhouse.schemas.events import FinishedRun
from packhouse.schemas.files import Manifest, ManifestEngine, ManifestFile, Unavailable
from packhouse.schemas.packaging import PackagingConfig
from packhouse.schemas.ranking import Ranking
from packhouse.worker.package.jsontext import json_bytes, plain
from packhouse.worker.package.scrub import Scrubber

_DISTRIBUTION: Final = "packhouse"


@dataclass(frozen=True)
class Sized:
    """What the manifest says of a file."""

    size: int
    sha256: str

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Of bytes in memory."""
        return cls(len(data), hashlib.sha256(data).hexdigest())


def manifest_head(
    run: RunRef,
    event: FinishedRun,
    config: PackagingConfig,
    ranking: Ranking,
    scrub: Scrubber,
    checks: list[ModelCheck],
    unavailable: list[Unavailable],
) -> Manifest:
    """The manifest of a package before any of its files is known."""
    head = Manifest(
        packhouse=version(_DISTRIBUTION),
        run=run,
        engine=ManifestEngine(
            name=event.engine.name,
            version=event.engine.version,
            runtime_packages=event.engine.runtime_packages,
        ),
        name=config.name,
        files=[],
        left_out=ranking.left_out,
        checks=checks,
        unavailable=unavailable,
    )
    return Manifest.model_validate(scrub.json(plain(head)))


def manifest_bytes(head: Manifest, files: Mapping[str, Sized]) -> bytes:
    """The text of ``manifest.json``, the files in the order of their paths."""
    listed = [ManifestFile(path=path, size=file.size, sha256=file.sha256) for path, file in sorted(files.items())]
    return json_bytes(head.model_copy(update={"files": listed}))


def package_digest(manifest: bytes) -> Digest:
    """The digest of a package, from the bytes of its manifest."""
    return "sha256:" + hashlib.sha256(manifest).hexdigest()
