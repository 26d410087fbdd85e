"""Reading a package that was unpacked, without following a link."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final, Self

from packhouse.worker.package.tree import unsafe
from packhouse.worker.verify.container import CHUNK, LONGEST_JSON, MOST_FILES, faults_of_clashes, named

_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Unpacked:
    """A folder. Raises ``OSError`` where it cannot be read."""

    law = "is a folder of regular files with safe paths"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._faults: list[str] = []
        found = dict(self._walk())
        self.sizes: Mapping[str, int] = dict(sorted(found.items()))
        self.bytes = sum(found.values())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def faults(self) -> list[str]:
        """See ``Container``."""
        return [*sorted(self._faults), *self._faults_of_names()]

    def read(self, path: str, *, most: int = LONGEST_JSON) -> bytes:
        """See ``Container``."""
        if self.sizes[path] > most:
            raise ValueError(f"{named(path)} is longer than {most} bytes")
        with self._open(path) as file:
            return file.read(most)

    def digest(self, path: str, advance: Callable[[int], None]) -> tuple[int, str]:
        """See ``Container``."""
        digest, size = hashlib.sha256(), 0
        with self._open(path) as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
                advance(len(chunk))
        return size, digest.hexdigest()

    def extract(self, path: str, target: Path) -> None:
        """See ``Container``. A hard link where that can be had: the file is only read."""
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(self._folder / path, target, follow_symlinks=False)
        except OSError:
            with self._open(path) as source, target.open("xb") as file:
                shutil.copyfileobj(source, file, CHUNK)

    def _open(self, path: str) -> BinaryIO:
        descriptor = os.open(self._folder / path, _READ)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise ValueError(f"{named(path)} is no regular file")
        return os.fdopen(descriptor, "rb")

    def _walk(self) -> Iterator[tuple[str, int]]:
        folders, count = [""], 0
        while folders:
            below = folders.pop()
            with os.scandir(self._folder / below) as entries:
                for entry in entries:
                    path = below + entry.name
                    count += 1
                    if count > MOST_FILES:
                        self._faults.append(f"there are more than {MOST_FILES} files")
                        return
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(path + "/")
                    elif entry.is_file(follow_symlinks=False):
                        yield path, entry.stat(follow_symlinks=False).st_size
                    else:
                        self._faults.append(f"{named(path)} is a link or another thing that is no file")

    def _faults_of_names(self) -> Iterator[str]:
        reasons = {path: unsafe(path) for path in self.sizes}
        yield from (f"{named(path)}: unsafe path: {reason}" for path, reason in reasons.items() if reason)
        yield from faults_of_clashes(path for path, reason in reasons.items() if not reason)
