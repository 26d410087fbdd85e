"""A path with the name that the event's sender knows it by."""

from __future__ import annotations

from dataclasses import dataclass

from packhouse.schemas.base import is_url
from packhouse.schemas.events import FinishedRun
from packhouse.schemas.paths import PathMap


@dataclass(frozen=True)
class Location:
    """A file or folder: ``path`` is where the worker has it, ``shown`` what the event calls it.

    Only ``shown`` is put into statuses and error messages.
    """

    path: str
    shown: str

    def child(self, relative: str) -> Location:
        """A place below this one; ``relative`` uses forward slashes."""
        return Location(f"{self.path.rstrip('/')}/{relative}", f"{self.shown.rstrip('/')}/{relative}")

    @property
    def parent(self) -> Location:
        """The folder that this lies in."""
        shown = self.shown.replace("\\", "/") if "/" not in self.shown else self.shown
        return Location(self.path.rpartition("/")[0] or "/", shown.rpartition("/")[0] or "/")

    @property
    def name(self) -> str:
        """The last component."""
        return self.path.rpartition("/")[2]


def locate(path: str, event: FinishedRun, mapping: PathMap) -> Location:
    """A path of an event as the worker finds it: mapped where the event's paths are the engine's view."""
    if event.paths == "engine" and not is_url(path):
        return Location(mapping(path), path)
    return Location(path, path)
