"""Where the files of a package are: in its ZIP, or in the folder that it was unpacked to."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, Protocol, Self

from packhouse.worker.package.tree import clashes

LONGEST_JSON: Final = 64 * 1024 * 1024
"""The most that is read of a JSON file, in bytes."""
MOST_FILES: Final = 200_000
CHUNK: Final = 1024 * 1024

UNREADABLE = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError,
    OverflowError,
)  # fmt: skip
"""What is raised for files that are damaged or made to mislead."""


class Container(Protocol):
    """A package opened for reading, as a context manager."""

    @property
    def law(self) -> str:
        """What ``faults`` looks for, as a sentence about the package that is sound."""
        ...

    @property
    def bytes(self) -> int:
        """Of the whole, as it lies there."""
        ...

    @property
    def sizes(self) -> Mapping[str, int]:
        """Path inside the package to bytes when unpacked."""
        ...

    def faults(self) -> Iterable[str]:
        """Everything about the container itself that a package never has. Where there is any, read no file."""
        ...

    def read(self, path: str, *, most: int = LONGEST_JSON) -> bytes:
        """A file of at most so many bytes. Raises ``KeyError`` and what ``UNREADABLE`` lists."""
        ...

    def digest(self, path: str, advance: Callable[[int], None]) -> tuple[int, str]:
        """Size and sha256 of a file. Raises what ``UNREADABLE`` lists."""
        ...

    def extract(self, path: str, target: Path) -> None:
        """Put a file to a place where nothing is yet. Raises what ``UNREADABLE`` lists."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def faults_of_clashes(paths: Iterable[str]) -> Iterator[str]:
    """A finding for each path that another one takes the place of, on some system that the package is unpacked on."""
    for path, other in clashes(paths):
        yield (
            f"{named(path)} is there twice" if path == other else f"{named(path)} and {named(other)} are one somewhere"
        )


def named(path: str) -> str:
    """A path in a finding: quoted, and not longer than a line or two."""
    return repr(path) if len(path) <= _LONGEST_NAMED else f"{path[:_LONGEST_NAMED]!r}…"


_LONGEST_NAMED: Final = 300
