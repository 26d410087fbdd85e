"""Sending bytes as the blocks of a block blob: beside each other, in constant memory, none twice.

A block's id is made of its place and its digest. So what an attempt before left in the service is known by its name,
and two that send the same bytes at once do each other no harm. Source of the limits: "Scalability and performance
targets for Blob storage".
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from types import TracebackType
from typing import Final, Self

MIB: Final = 1 << 20
MOST_BLOCKS: Final = 50_000
BLOCK: Final = 8 * MIB
LANES: Final = 4
_IN_FLIGHT: Final = BLOCK * LANES
"""Bytes of all buffers, as long as a block is no larger than that."""

_DIGEST: Final = 32


def block_size(size: int, blocks: int = MOST_BLOCKS) -> int:
    """Bytes of a block, so that ``size`` bytes take at most so many blocks: 8 MiB up to 390 GiB, then whole MiB."""
    return max(BLOCK, -(-size // blocks // MIB) * MIB)


def lanes_of(size: int) -> int:
    """How many blocks of that size to send at once: 32 MiB together, at least one."""
    return max(1, min(LANES, _IN_FLIGHT // size))


def block_id(place: int, data: memoryview) -> str:
    """The name of the block at a place: the same for the same bytes, of one length for all as the service wants it."""
    return f"{place:06d}-{hashlib.sha256(data).hexdigest()[:_DIGEST]}"


class BlockSender:
    """Buffers to fill, and threads that send them. For one thread, which fills; closed when its ``with`` ends.

    ``stage(id, bytes)`` sends a block, in a thread. ``there`` are the blocks that the service has already, with their
    bytes; ``advance`` hears in the filling thread of every block that is done, and may raise.
    """

    def __init__(
        self,
        stage: Callable[[str, memoryview], object],
        size: int,
        *,
        there: Mapping[str, int] | None = None,
        advance: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.size = size
        self.sent = 0
        """Bytes that went over the wire so far."""
        self._stage = stage
        self._there = there or {}
        self._advance = advance
        self._buffers = lanes_of(size)
        self._free: list[memoryview] = []
        self._running = 0
        self._done: SimpleQueue[tuple[memoryview | None, int, int, BaseException | None]] = SimpleQueue()
        self._ids: dict[int, str] = {}
        self._threads = ThreadPoolExecutor(self._buffers, thread_name_prefix="blocks")

    def buffer(self) -> memoryview:
        """A buffer of a block's size. Waits until one is free; raises what went wrong with a block before."""
        while not self._free:
            if self._buffers:
                self._buffers -= 1
                return memoryview(bytearray(self.size))
            self._settle()
        return self._free.pop()

    def send(self, pieces: Sequence[tuple[int, memoryview]], buffer: memoryview | None = None) -> None:
        """Send blocks, each at its place, and then take back the ``buffer`` that they lie in. A place is sent once."""
        self._running += 1
        self._threads.submit(self._send, pieces, buffer)

    def ids(self) -> list[str]:
        """The ids of all blocks in the order of their places, when all are there."""
        while self._running:
            self._settle()
        return [self._ids[place] for place in sorted(self._ids)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(cancel_futures=True)

    def _send(self, pieces: Sequence[tuple[int, memoryview]], buffer: memoryview | None) -> None:
        sent = count = 0
        try:
            for place, data in pieces:
                name = block_id(place, data)
                if self._there.get(name) != len(data):
                    self._stage(name, data)
                    sent += len(data)
                self._ids[place] = name
                count += len(data)
        except BaseException as error:  # noqa: BLE001 (raised again in the filling thread)
            self._done.put((buffer, 0, 0, error))
        else:
            self._done.put((buffer, sent, count, None))

    def _settle(self) -> None:
        buffer, sent, count, error = self._done.get()
        self._running -= 1
        self.sent += sent
        if buffer is not None:
            self._free.append(buffer)
        if error is not None:
            raise error
        self._advance(count)
