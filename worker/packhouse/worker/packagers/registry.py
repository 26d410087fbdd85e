"""Which packager makes which type, and on which Celery queue."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from typing import Final, cast

from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.packaging import PackagingType
from packhouse.worker.packagers.base import Packager

_GROUP: Final = "packhouse.packagers"

RANKING_QUEUE: Final = "ranking"
ZIPFILE_QUEUE: Final = "package.zipfile"
AZUREML_QUEUE: Final = "package.azureml"
QUEUES: Final = (RANKING_QUEUE, ZIPFILE_QUEUE, AZUREML_QUEUE)
"""One queue for each kind of work, so that a cluster scales disk-bound and network-bound work apart."""


def queue_of(packaging_type: PackagingType) -> str:
    """The Celery queue of a packaging type."""
    return ZIPFILE_QUEUE if packaging_type is PackagingType.ZIPFILE else AZUREML_QUEUE


@cache
def packager_of(packaging_type: PackagingType) -> Packager:
    """The packager of a type. Raises ``PermanentError`` where none is installed."""
    for entry in entry_points(group=_GROUP):
        if entry.name.lower() == packaging_type.slug:
            return cast("Packager", entry.load()())
    known = ", ".join(sorted(entry.name for entry in entry_points(group=_GROUP))) or "none"
    raise PermanentError(
        ErrorCode.PACKAGING_TYPE_UNAVAILABLE,
        f"This worker has no packager for {packaging_type}; it has {known}.",
        fix="Take the type out of the packaging config, or install a Packhouse that has it.",
    )
