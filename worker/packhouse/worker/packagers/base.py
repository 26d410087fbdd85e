"""What a packaging type has to do, and what it is given for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from packhouse.schemas.base import Document
from packhouse.schemas.checks import ModelCheck
from packhouse.schemas.cloudevent import RunRef
from packhouse.schemas.events import FinishedRun
from packhouse.schemas.packaging import PackagingConfig
from packhouse.schemas.paths import PathMap
from packhouse.schemas.ranking import Ranking
from packhouse.schemas.status import Asset, Replaced
from packhouse.worker.azure.access import Azure
from packhouse.worker.ledger import Notebook
from packhouse.worker.runtimes.store import RuntimeStore
from packhouse.worker.settings import Settings
from packhouse.worker.storage.known import KnownDigests
from packhouse.worker.storage.location import Location, locate
from packhouse.worker.storage.storage import Storage


class Progress(Protocol):
    """Where work in progress reports to. Every call may raise ``LeaseLost``: the work is then somebody else's."""

    def stage(self, name: str, total: int = 0) -> None:
        """A new stage begins, with so many bytes to do."""
        ...

    def advance(self, count: int) -> None:
        """So many bytes more are done. Cheap: call it for each chunk."""
        ...

    def confirm(self) -> None:
        """Ask the ledger whether the lease still holds: before anything that others can see."""
        ...

    def commit(self) -> None:
        """As ``confirm``, before the package itself is seen: it is then too late to cancel it."""
        ...


@dataclass(frozen=True)
class PackageJob:
    """One package to be made."""

    run: RunRef
    event: FinishedRun
    config: PackagingConfig
    ranking: Ranking
    storage: Storage
    mapping: PathMap
    token: str
    """Token of the lease: letters and digits; part of the name of every unfinished file."""
    tag: str
    """The same for every attempt at this job, different for every other job; letters, digits and ``-``."""
    progress: Progress
    notebook: Notebook
    azure: Azure
    settings: Settings
    runtimes: RuntimeStore
    digests: KnownDigests = field(default_factory=KnownDigests)
    """What this machine knows of files; nothing where none is given."""

    def locate(self, path: str) -> Location:
        """A path of the event as the worker finds it."""
        return locate(path, self.event, self.mapping)


class Plan(Document, frozen=True):
    """What the first attempt decided, as JSON in the ledger. Each packager has a subclass of its own."""

    destination: str
    """What no two open runs may write to at once: the key that is claimed in the ledger."""


@dataclass(frozen=True)
class Poured:
    """What came of a package."""

    path: str | None = None
    """As the event's sender calls it."""
    bytes: int | None = None
    files: int | None = None
    digest: str | None = None
    models: tuple[str, ...] = ()
    replaced: Replaced | None = None
    assets: tuple[Asset, ...] = ()
    checks: tuple[ModelCheck, ...] = ()
    warnings: tuple[str, ...] = ()


class Packager(Protocol):
    """A packaging type."""

    plan_type: type[Any]
    """The ``Plan`` subclass that ``plan`` returns and ``pour`` takes."""

    def plan(self, job: PackageJob) -> Any:
        """Look at the models and decide everything that the bytes of the package depend on. Writes no file.

        Raises ``PermanentError`` and ``TransientError``.
        """
        ...

    def pour(self, job: PackageJob, plan: Any) -> Poured:
        """Make the package of a plan. Doing it twice, or two at once, ends in the same bytes in the same place.

        Raises ``PermanentError`` and ``TransientError``.
        """
        ...

    def discard(self, job: PackageJob, plan: Any) -> None:
        """Remove what attempts that died have left unfinished where the package was to be. The package has failed.

        Raises ``PermanentError`` and ``TransientError``.
        """
        ...
