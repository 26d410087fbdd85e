from __future__ import annotations

import random
import threading
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packhouse.schemas.blob.blocks import BLOCK, LANES, MIB, MOST_BLOCKS, BlockSender, block_id, block_size, lanes_of
from packhouse.worker.storage.blob.sink import BlockSink

TB = 10**12
GIB = 1 << 30


class Service:
    """Blocks by id, as a blob service keeps them."""

    def __init__(self) -> None:
        self.blocks: dict[str, bytes] = {}
        self.lock = threading.Lock()

    def stage(self, name: str, data: memoryview) -> None:
        with self.lock:
            self.blocks[name] = bytes(data)

    def content(self, ids: list[str]) -> bytes:
        return b"".join(self.blocks[name] for name in ids)

    @property
    def sizes(self) -> dict[str, int]:
        return {name: len(data) for name, data in self.blocks.items()}


@pytest.mark.parametrize("size", [1, BLOCK * MOST_BLOCKS, BLOCK * MOST_BLOCKS + 1, TB, 19 * TB // 4, 5 * TB])
def test_no_file_takes_more_blocks_than_the_service_allows(size: int) -> None:
    block = block_size(size)
    assert -(-size // block) <= MOST_BLOCKS
    assert block % MIB == 0
    assert block <= 4000 * MIB


def test_buffers_stay_small_as_long_as_files_are_below_a_terabyte_and_a_half() -> None:
    assert block_size(390 * GIB) == BLOCK
    for size in (GIB, 390 * GIB, TB, 3 * TB // 2):
        block = block_size(size)
        assert block * lanes_of(block) <= 32 * MIB
    assert lanes_of(block_size(19 * TB // 4)) == 1
    assert block_size(19 * TB // 4) < 100 * MIB
    assert lanes_of(BLOCK) == LANES


def test_ids_have_one_length_and_tell_place_and_bytes() -> None:
    data = memoryview(b"data")
    assert len({len(block_id(place, data)) for place in (0, 7, MOST_BLOCKS, 3 * MOST_BLOCKS)}) == 1
    assert len({block_id(0, data), block_id(1, data), block_id(0, memoryview(b"other"))}) == 3
    assert len(block_id(0, data)) <= 64
    assert block_id(5, data) == block_id(5, memoryview(b"data"))


def test_blocks_that_are_there_are_not_sent_again() -> None:
    service, data = Service(), [b"one", b"two", b"three"]
    there = {block_id(1, memoryview(b"two")): 3, block_id(2, memoryview(b"three")): 4}
    told: list[int] = []
    with BlockSender(service.stage, 10, there=there, advance=told.append) as sender:
        for place, piece in enumerate(data):
            buffer = sender.buffer()
            buffer[: len(piece)] = piece
            sender.send([(place, buffer[: len(piece)])], buffer)
        ids = sender.ids()
    assert ids == [block_id(place, memoryview(piece)) for place, piece in enumerate(data)]
    assert sorted(service.blocks.values()) == [b"one", b"three"]
    assert sender.sent == 8
    assert sorted(told) == [3, 3, 5]


def test_what_goes_wrong_with_a_block_is_raised_to_who_fills() -> None:
    def stage(name: str, data: memoryview) -> None:
        raise OSError(name)

    def fill(sender: BlockSender) -> None:
        for place in range(100):
            buffer = sender.buffer()
            sender.send([(place, buffer)], buffer)

    with BlockSender(stage, 10) as sender, pytest.raises(OSError, match="00000"):
        fill(sender)


def test_no_more_buffers_are_in_use_than_may_be() -> None:
    at_once, most, lock = [0], [0], threading.Lock()

    def stage(name: str, data: memoryview) -> None:
        with lock:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
        with lock:
            at_once[0] -= 1

    buffers: set[int] = set()
    with BlockSender(stage, BLOCK) as sender:
        for place in range(20):
            buffer = sender.buffer()
            buffers.add(id(buffer.obj))
            sender.send([(place, buffer[:10])], buffer)
        assert len(sender.ids()) == 20
    assert len(buffers) <= LANES
    assert most[0] <= LANES


def pour(actions: list[tuple[int, int]], size: int) -> tuple[bytes, bytes, Service, list[str]]:
    """Write entries of (header, body) bytes; returns what is expected, what came, the service and the ids."""
    chance, service, expected = random.Random(1), Service(), bytearray()
    with BlockSender(service.stage, size) as sender:
        sink = BlockSink(sender)
        for header, body in actions:
            head, data = chance.randbytes(header), chance.randbytes(body)
            sink.leave(header)
            for at in range(0, body, 7):
                sink.write(data[at : at + 7])
            sink.fill(head)
            expected += head + data
        sink.close()
        ids = sender.ids()
    return bytes(expected), service.content(ids), service, ids


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 300)), max_size=30), st.sampled_from([20, 33, 64, 1000]))
@settings(deadline=None)
def test_gaps_are_filled_wherever_blocks_end(actions: list[tuple[int, int]], size: int) -> None:
    expected, content, _, ids = pour(actions, size)
    assert content == expected
    assert pour(actions, size)[3] == ids
    # A header that begins where another block must begin leaves the one before it that much shorter.
    assert len(ids) <= len(expected) // (size - min(20, size - 1)) + 2 * len(actions) + 2


def test_small_entries_share_a_block() -> None:
    expected, content, service, ids = pour([(30, 50)] * 100, 1 << 20)
    assert content == expected
    assert len(ids) == len(service.blocks) == 1


def test_a_large_entry_takes_two_blocks_more_than_its_bytes() -> None:
    _, _, _, ids = pour([(30, 50), (30, 10_000), (30, 50)], 1000)
    assert len(ids) <= 11 + 2


@pytest.mark.parametrize("entries", [1, 1000, 100_000])
@pytest.mark.parametrize("size", [GIB, TB, 19 * TB // 4])
def test_no_archive_takes_more_blocks_than_the_service_allows(size: int, entries: int) -> None:
    block = block_size(size + (size >> 6), max(MOST_BLOCKS // 3 - 1, MOST_BLOCKS - 2 * entries - 2))
    full = -(-size // (block - 4096))
    assert full + 2 * min(entries, full) <= MOST_BLOCKS


def test_a_source_of_many_blocks_is_read_while_others_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    meet = threading.Barrier(LANES)

    def stage(name: str, data: memoryview) -> None:
        meet.wait(10)

    fill: Callable[[BlockSender, int], None] = lambda sender, place: sender.send([(place, sender.buffer())])
    with BlockSender(stage, BLOCK) as sender:
        for place in range(LANES):
            fill(sender, place)
        assert len(sender.ids()) == LANES
