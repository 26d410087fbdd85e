"""What the checks of a package share: its container, and its documents once these are read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from packhouse.schemas.base import Digest
from packhouse.schemas.errors import explain
from packhouse.schemas.files import MANIFEST, MODEL_INFO, Manifest, ModelInfo, RankEntry
from packhouse.worker.verify.container import UNREADABLE, Container, named

_Model = TypeVar("_Model", bound=BaseModel)


class Watcher(Protocol):
    """Is told how far a verification is."""

    def stage(self, name: str, total: int) -> None:
        """A new stage begins, with so many bytes or models to do."""
        ...

    def advance(self, count: int) -> None:
        """So many more are done."""
        ...


class Skipped(Exception):
    """A check has nothing to look at; the text says why."""


@dataclass(frozen=True)
class Found:
    """What a check came to. No findings: the package keeps the law."""

    findings: list[str] = field(default_factory=list)
    counted: str = ""
    """What was looked at, in a few words."""
    notes: list[str] = field(default_factory=list)


Step = Callable[["Contents"], Found]
"""Looks at one thing. Raises ``Skipped``, and what ``UNREADABLE`` lists."""


class Contents:
    """A package whose container is sound."""

    def __init__(self, container: Container, watcher: Watcher) -> None:
        self.container = container
        self.watcher = watcher
        self.manifest: Manifest | None = None
        self.digest: Digest | None = None
        self.ranks: list[RankEntry] = []

    def document(self, path: str, model: type[_Model]) -> tuple[_Model | None, list[str]]:
        """A JSON file of the package: the document, or None and what is wrong with it."""
        if path not in self.container.sizes:
            return None, [f"{named(path)} is missing"]
        try:
            return model.model_validate_json(self.container.read(path)), []
        except ValidationError as error:
            return None, [f"{path}: {where or 'document'}: {sentence}" for where, sentence in explain(error)]
        except UNREADABLE as error:
            return None, [f"{named(path)} cannot be read: {error}"]

    def text(self, path: str, *, most: int) -> str:
        """A text of at most so many bytes. Raises what ``UNREADABLE`` lists."""
        return self.container.read(path, most=most).decode()

    def read_manifest(self) -> list[str]:
        """Read the manifest, if it is valid; what is wrong with it otherwise."""
        self.manifest, faults = self.document(MANIFEST, Manifest)
        if self.manifest is not None:
            self.digest = "sha256:" + hashlib.sha256(self.container.read(MANIFEST)).hexdigest()
        return faults

    def info(self, folder: str) -> ModelInfo | None:
        """The ``model_info.json`` of a candidate's folder, if it is valid."""
        return self.document(f"{folder}/{MODEL_INFO}", ModelInfo)[0]

    def below(self, folder: str) -> Iterator[str]:
        """Every path below a folder."""
        return (path for path in self.container.sizes if path.startswith(folder + "/"))

    def need_manifest(self) -> Manifest:
        """Raises ``Skipped`` where there is none."""
        if self.manifest is None:
            raise Skipped("there is no valid manifest")
        return self.manifest

    def need_ranks(self) -> list[RankEntry]:
        """Raises ``Skipped`` where no model is ranked."""
        if not self.ranks:
            raise Skipped("no model is ranked")
        return self.ranks


def counted(number: int, one: str, many: str = "") -> str:
    """``1 file``, ``2 files``, ``1 000 000 files``."""
    return f"{number:,}".replace(",", " ") + f" {one if number == 1 else many or one + 's'}"


def sized(number: int) -> str:
    """Bytes for people: ``512 bytes``, ``1.2 MB``, ``3.4 GB``."""
    value = float(number)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 1000 or unit == "GB":  # noqa: PLR2004 (where the next unit begins)
            return f"{number} bytes" if number < 1000 else f"{value:.1f} {unit}"  # noqa: PLR2004 (the same)
    raise AssertionError
