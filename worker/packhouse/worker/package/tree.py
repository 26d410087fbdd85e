"""A package as a tree: paths inside the package, and what lies there."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.worker.storage.location import Location

LONGEST_COMPONENT: Final = 255
"""Bytes of UTF-8 that file systems take in one name."""
LONGEST_PATH: Final = 1024
"""Bytes of UTF-8 that object stores take in one name."""

_DRIVE = re.compile(r"[A-Za-z]:")
_FOR_WINDOWS: Final = str.maketrans(dict.fromkeys('<>:"|?*', "_"))


@dataclass(frozen=True)
class Made:
    """A file whose bytes we made."""

    data: bytes


@dataclass(frozen=True)
class ModelFile:
    """A file of a model, referred to: where it lies, and its size and mark when it was looked at."""

    location: Location
    size: int
    mark: str


@dataclass(frozen=True)
class CachedFile:
    """A file that Packhouse fetched and keeps in its cache under its digest: a runtime package."""

    sha256: str
    """64 hexadecimal digits."""
    size: int
    origin: str
    """What it is, as ``runtimes.store`` spells it: enough to fetch it again where the cache has it no more."""


Entry: TypeAlias = Made | ModelFile | CachedFile


class PackageTree(Mapping[str, Entry]):
    """Path inside the package to entry, in the order of the paths. Every path is safe and names one file, in any case.

    Law: two trees of the same entries are equal, whatever the order in which they were added.
    """

    def __init__(self, entries: Mapping[str, Entry] | None = None) -> None:
        self._entries: dict[str, Entry] = {}
        self._taken: dict[str, str] = {}
        self._folders: dict[str, str] = {}
        for path, entry in (entries or {}).items():
            self.add(path, entry)

    def add(self, path: str, entry: Entry) -> None:
        """Put a file into the package. Raises ``PermanentError`` (``layout_conflict``)."""
        reason = unsafe(path)
        if reason is not None:
            raise PermanentError(
                ErrorCode.LAYOUT_CONFLICT,
                f"{path[:200]!r} cannot be a path inside a package: {reason}.",
                fix="Rename the file of the model, and refer to it by the new name in the model.",
            )
        key = folded(path)
        folders = {folded(folder): folder for folder in _folders_of(path)}
        other = self._taken.get(key) or self._folders.get(key)
        for folder in folders:
            other = other or self._taken.get(folder)
        if other is not None:
            raise PermanentError(
                ErrorCode.LAYOUT_CONFLICT,
                f"{path!r} and {other!r} cannot both be in one package.",
                fix="Give the files of the model names of their own, that differ in more than letter case.",
            )
        self._entries[path] = entry
        self._taken[key] = path
        self._folders |= folders

    def __getitem__(self, path: str) -> Entry:
        return self._entries[path]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        return len(self._entries)


def folded(path: str) -> str:
    """Equal for paths that are one somewhere.

    On macOS letter case and the spelling of a character do not count; on Windows names lose points and spaces at their
    end, and get ``_`` for what they must not hold.
    """
    spelled = unicodedata.normalize("NFD", unicodedata.normalize("NFD", path).casefold()).translate(_FOR_WINDOWS)
    return "/".join(name.rstrip(" .") for name in spelled.split("/"))


def clashes(paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Pairs of paths of which only one can be a file somewhere: they are one there, or the second is a folder too."""
    # With the separator before all other characters, what lies below a folder follows its name.
    ranked = sorted((folded(path).replace("/", "\0"), path) for path in paths)
    before = None
    for key, path in ranked:
        if before is not None and (key == before[0] or key.startswith(before[0] + "\0")):
            yield path, before[1]
        else:
            before = key, path


def unsafe(path: str) -> str | None:
    """Why a path must not be in a package, or None: it could not be unpacked everywhere, or not below one folder."""
    if not path:
        return "it is empty"
    if path.startswith("/") or _DRIVE.match(path):
        return "it is absolute"
    if "\\" in path:
        return "it holds a backslash"
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in path):
        return "it holds a control character or is no Unicode"
    if len(path.encode()) > LONGEST_PATH:
        return f"it is longer than {LONGEST_PATH} bytes"
    for component in path.split("/"):
        if component in ("", ".", ".."):
            return f"{component!r} is no name of a file or folder"
        if len(component.encode()) > LONGEST_COMPONENT:
            return f"a name in it is longer than {LONGEST_COMPONENT} bytes"
    return None


def _folders_of(path: str) -> Iterator[str]:
    folder = path.rpartition("/")[0]
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]
