"""A file that lies in memory, for readers that take any ``Readable``."""

from __future__ import annotations

import io
from types import TracebackType
from typing import Self


class InMemory:
    mark = real = shown = "memory"

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)

    def readinto(self, buffer: memoryview, at: int) -> int:
        return io.BytesIO(self.data[at : at + len(buffer)]).readinto(buffer)

    def read_ahead(self) -> None: ...

    def changed(self) -> None: ...

    def identity(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
