"""What identifies the bytes of a file."""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import ClassVar, Self

from isal import isal_zlib


@dataclass(frozen=True)
class FileDigest:
    """Digests of a file's bytes."""

    sha256: str
    """64 hexadecimal digits."""
    crc32: int
    """The CRC that ZIP uses, unsigned."""
    size: int
    """Bytes."""

    @classmethod
    def of(cls, data: bytes) -> Self:
        """The digests of bytes."""
        return cls(hashlib.sha256(data).hexdigest(), isal_zlib.crc32(data), len(data))


class Hasher:
    """SHA-256 of chunks, computed beside what the caller does with them in a thread of its own.

    A chunk must keep its bytes until ``BEHIND`` further ones were given: then it has been read.
    """

    BEHIND: ClassVar = 3

    def __init__(self, *, threaded: bool) -> None:
        self._sha256 = hashlib.sha256()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sha256") if threaded else None
        self._waiting: deque[Future[None]] = deque()

    def update(self, chunk: memoryview) -> None:
        """Take one more chunk."""
        if self._thread is None:
            self._sha256.update(chunk)
            return
        self._waiting.append(self._thread.submit(self._sha256.update, chunk))
        while len(self._waiting) > self.BEHIND:
            self._waiting.popleft().result()

    def hexdigest(self) -> str:
        """The digest of all chunks."""
        while self._waiting:
            self._waiting.popleft().result()
        return self._sha256.hexdigest()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)
