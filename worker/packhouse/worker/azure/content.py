"""What an asset holds, and the place that follows from it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Final

from packhouse.schemas.base import Digest, Document

_FOLDER: Final = "assets"
_PLACE: Final = re.compile(rf"(?:^|/){_FOLDER}/([0-9a-f]{{64}})(?=/|$)")


class ModelPart(Document, frozen=True):
    """A model file as it was when the plan was made."""

    shown: str
    """Its path in the event's view."""
    mark: str


class AssetFile(Document, frozen=True):
    """A file of an asset: either ``made``, its text, or ``model``, the model file that it is."""

    path: str
    """Inside the asset's folder."""
    size: int
    sha256: str
    made: str | None = None
    model: ModelPart | None = None


def content_digest_of(files: Iterable[AssetFile]) -> Digest:
    """The digest of a folder: of the lines ``path NUL size NUL sha256``, sorted. Law: it does not depend on the order.

    Neither the type nor the name of the asset is in it: what is registered twice lies in one folder.
    """
    lines = sorted(f"{file.path}\0{file.size}\0{file.sha256}\n" for file in files)
    return "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()


def assets_folder(prefix: str) -> str:
    """The folder of a container that all assets lie in."""
    return f"{prefix}/{_FOLDER}"


def folder_of(prefix: str, digest: Digest) -> str:
    """The folder of an asset in its container."""
    return f"{assets_folder(prefix)}/{digest.removeprefix('sha256:')}"


def digest_in_path(path: str) -> Digest | None:
    """The digest that a path inside an asset's folder names; None for any other path.

    Law: ``digest_in_path(folder_of(prefix, digest)) == digest``.
    """
    found = _PLACE.findall(path)
    return f"sha256:{found[-1]}" if found else None
