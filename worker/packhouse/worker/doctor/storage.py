"""The storage roots of the settings."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from packhouse.schemas.base import is_url
from packhouse.worker.doctor.finding import Finding, failed, ok, skipped, warning
from packhouse.worker.settings import Settings


def check_storage(settings: Settings) -> Iterator[Finding]:
    """Whether each storage root is there and can be read and written, and whether mapped paths lie in one."""
    if not settings.roots:
        yield skipped("storage", "No storage roots are set (PACKHOUSE_ROOTS): no model file on disk can be packaged.")
    for root in settings.roots:
        yield _root(root)
    for rule in settings.path_map.rules:
        target = rule.target
        if not is_url(target) and not any(_is_below(target, root) for root in settings.roots):
            yield failed(
                "mapping",
                f"{rule.origin} is mapped to {target}, which lies in no storage root.",
                "Add its folder to PACKHOUSE_ROOTS, or correct PACKHOUSE_PATH_MAPS.",
            )


def _root(root: str) -> Finding:
    name, path = "storage", Path(root)
    try:
        if not path.is_dir():
            return failed(
                name,
                f"The storage root {root} is {'no folder' if path.exists() else 'not there'}.",
                "Make or mount it, or correct PACKHOUSE_ROOTS.",
            )
        with os.scandir(path) as entries:
            next(entries, None)
    except OSError as error:
        return failed(
            name, f"The storage root {root} cannot be read: {error.strerror}.", "Let the worker's user read it."
        )
    try:
        with tempfile.TemporaryFile(dir=path) as file:
            file.write(b"packhouse")
    except OSError as error:
        return warning(
            name,
            f"Nothing can be written into the storage root {root} ({error.strerror}); models in it can be packaged.",
            "If runs have their output_dir there, let the worker's user write it.",
        )
    return ok(name, f"The storage root {root} can be read and written.")


def _is_below(path: str, root: str) -> bool:
    return Path(path).is_relative_to(root)
