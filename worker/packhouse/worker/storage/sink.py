"""Where an archive is written to."""

from __future__ import annotations

import os
from typing import Protocol, TypeAlias

Data: TypeAlias = bytes | bytearray | memoryview


class Sink(Protocol):
    """Takes bytes in their order, but for gaps: each is left, and filled before the next one is left."""

    def write(self, data: Data) -> None:
        """Put bytes behind what is there. The caller may change them afterwards."""
        ...

    def leave(self, count: int) -> None:
        """Leave room for so many bytes, at most a few kilobytes."""
        ...

    def fill(self, data: Data) -> None:
        """Put bytes into the last gap, as many as it was left for."""
        ...


class FileSink:
    """A seekable file, from its beginning; its position does not matter and does not move. Raises ``OSError``."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._at = 0
        self._gap = 0

    def write(self, data: Data) -> None:
        """See ``Sink``."""
        self._write_at(data, self._at)
        self._at += len(data)

    def leave(self, count: int) -> None:
        """See ``Sink``."""
        self._gap = self._at
        self._at += count

    def fill(self, data: Data) -> None:
        """See ``Sink``."""
        self._write_at(data, self._gap)

    def _write_at(self, data: Data, at: int) -> None:
        with memoryview(data) as view:
            done = 0
            while done < len(view):
                done += os.pwrite(self._fd, view[done:], at + done)
