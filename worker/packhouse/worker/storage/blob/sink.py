"""An archive written straight into a block blob, which appears whole when its blocks are committed."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

from packhouse.schemas.blob.address import BlobAddress
from packhouse.schemas.blob.blocks import MOST_BLOCKS, BlockSender, block_size
from packhouse.schemas.blob.upload import blocks_of, commit, stage_into
from packhouse.worker.storage.blob.clients import BlobClients
from packhouse.worker.storage.blob.failures import CONTRIBUTOR
from packhouse.worker.storage.sink import Data

_LARGEST_GAP = 4096


class BlockSink:
    """A ``Sink`` that cuts what it is given into blocks. Which blocks they are depends on nothing but the bytes.

    A gap that is still open when its buffer is full becomes a block of its own, sent when it is filled; so an entry of
    an archive takes at most two blocks more than its bytes do. Raises what sending a block raises.
    """

    def __init__(self, sender: BlockSender) -> None:
        self._sender = sender
        self._buffer: memoryview | None = None
        self._used = 0
        self._place = 0
        self._gap: tuple[int, int] | None = None
        """Where in the buffer a gap is open: its bytes from here up to there."""
        self._gap_place = 0

    def write(self, data: Data) -> None:
        """See ``Sink``."""
        with memoryview(data) as view:
            done = 0
            while done < len(view):
                buffer = self._room(1)
                count = min(len(view) - done, len(buffer) - self._used)
                buffer[self._used : self._used + count] = view[done : done + count]
                self._used += count
                done += count

    def leave(self, count: int) -> None:
        """See ``Sink``."""
        if count > _LARGEST_GAP:
            raise ValueError(f"{count} bytes are no header")
        self._room(count)
        self._gap = (self._used, self._used + count)
        self._used += count

    def fill(self, data: Data) -> None:
        """See ``Sink``."""
        if self._gap is not None and self._buffer is not None:
            start, stop = self._gap
            self._buffer[start:stop] = data
            self._gap = None
        else:
            self._sender.send([(self._gap_place, memoryview(bytes(data)))])

    def close(self) -> None:
        """Send what is left."""
        self._flush()

    def _room(self, count: int) -> memoryview:
        """A buffer that has room for so many bytes in one piece."""
        if self._buffer is not None and len(self._buffer) - self._used < count:
            self._flush()
        if self._buffer is None:
            self._buffer = self._sender.buffer()
        return self._buffer

    def _flush(self) -> None:
        buffer, used, gap = self._buffer, self._used, self._gap
        if buffer is None:
            return
        if gap is None:
            pieces = [(self._place, buffer[:used])]
        else:
            start, stop = gap
            pieces = [(self._place, buffer[:start]), (self._place + 2, buffer[stop:used])]
            self._gap_place = self._place + 1
        self._place += 3
        self._sender.send([(place, data) for place, data in pieces if data], buffer)
        self._buffer, self._used, self._gap = None, 0, None


@contextmanager
def published_blob(
    clients: BlobClients,
    address: BlobAddress,
    *,
    needed: int,
    entries: int,
    confirm: Callable[[], None],
    media_type: str,
) -> Generator[BlockSink]:
    """A sink whose bytes become the blob when the ``with`` ends well, in the place of what is there.

    ``confirm`` (which may raise) is called just before. ``needed`` bytes at most are written, in so many ``entries``.
    Blocks of the same bytes that lie there, committed or not, are not sent again.

    Raises ``PermanentError`` and ``TransientError``.
    """
    blob, what = clients.blob(address), str(address)
    with clients.renewing(address):
        with clients.asking(address, what, permission=CONTRIBUTOR):
            there = blocks_of(blob, committed=True)
        # A little more than is needed by the caller's estimate, for headers and what deflating can add.
        size = block_size(needed + (needed >> 6), max(MOST_BLOCKS // 3 - 1, MOST_BLOCKS - 2 * entries - 2))
        with BlockSender(stage_into(blob, what), size, there=there) as sender:
            sink = BlockSink(sender)
            yield sink
            sink.close()
            ids = sender.ids()
        confirm()
        commit(blob, ids, what, media_type=media_type)
