"""A path with the name that the event's sender knows it by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote

from packhouse.schemas.base import is_url
from packhouse.schemas.events import FinishedRun
from packhouse.schemas.paths import PathMap, is_windows

_ENCODED: Final = "https://"
"""Addresses of blobs that begin so are percent-encoded; those of ``azureml:`` are not."""


@dataclass(frozen=True)
class Location:
    """A file or folder: ``path`` is where the worker has it, ``shown`` what the event calls it.

    Only ``shown`` is put into statuses and error messages. Places below and above are spelled as the sender would, so
    that ``locate`` finds them by their ``shown`` too.
    """

    path: str
    shown: str

    def child(self, relative: str) -> Location:
        """A place below this one; ``relative`` uses forward slashes, and is not encoded where this is a URL."""
        separator = _separator(self.shown)
        below = _spelled(relative, self.shown).replace("/", separator)
        shown = f"{self.shown.rstrip(separator)}{separator}{below}"
        return Location(f"{self.path.rstrip('/')}/{_spelled(relative, self.path)}", shown)

    @property
    def parent(self) -> Location:
        """The folder that this lies in."""
        shown = self.shown.rpartition(_separator(self.shown))[0]
        return Location(self.path.rpartition("/")[0] or "/", shown or "/")

    @property
    def name(self) -> str:
        """The last component."""
        name = self.path.rpartition("/")[2]
        return unquote(name) if self.path.startswith(_ENCODED) else name


def _spelled(relative: str, base: str) -> str:
    """A relative path as it is spelled below a base."""
    return quote(relative) if base.startswith(_ENCODED) else relative


def _separator(shown: str) -> str:
    """What stands before the last component."""
    return "\\" if is_windows(shown) and shown.rfind("\\") > shown.rfind("/") else "/"


def locate(path: str, event: FinishedRun, mapping: PathMap) -> Location:
    """A path of an event as the worker finds it: mapped where the event's paths are the engine's view."""
    if event.paths == "engine" and not is_url(path):
        return Location(mapping(path), path)
    return Location(path, path)
