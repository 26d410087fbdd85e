"""Deflate streams of weights: the same wherever they are made."""

from __future__ import annotations

import random
import zlib

import pytest

from packhouse.worker.storage.deflating import RAW, Deflator


def deflate(packer: Deflator, *pieces: bytes) -> bytes:
    return b"".join(map(packer.compress, pieces)) + packer.flush()


@pytest.mark.parametrize("sizes", [[0], [1], [4], [15], [16], [17], [1000], [1 << 20, 1 << 20, 5]])
def test_what_comes_out_is_what_went_in(sizes: list[int]) -> None:
    numbers = random.Random(1)
    pieces = [bytes(numbers.choices(b"\0\0\1\2", k=size)) for size in sizes]
    assert zlib.decompress(deflate(Deflator(), *pieces), RAW) == b"".join(pieces)


def test_where_a_stream_lies_in_memory_changes_nothing() -> None:
    """Two streams at a time lie at two places. ISA-L left to itself differs in one of two thousand such pairs."""
    numbers = random.Random(2)
    rest = bytes(33000)  # what is shorter is kept until it is flushed, and goes another way
    for _ in range(12_000):
        begin = numbers.randbytes(24)
        data = begin + begin[:20] + begin[1:] + rest
        one, other = Deflator(), Deflator()
        assert deflate(one, data) == deflate(other, data)
