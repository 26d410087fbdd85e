"""What writing a ZIP asks of the system: every byte once, few calls, no memory that grows with the model."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from packhouse.worker.storage.deflating import worth_deflating
from packhouse.worker.storage.digest import FileDigest
from packhouse.worker.storage.local import OpenFile
from packhouse.worker.storage.sink import FileSink
from packhouse.worker.storage.zip_writer import CHUNK, ZipWriter

SIZE = 8 * CHUNK + 5
NOISE = random.Random(3).randbytes(SIZE)


class Counted:
    """What the writer asked of the system."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read: list[int] = []
        self.written: list[int] = []
        self.buffers: set[int] = set()
        read, write = os.preadv, os.pwrite

        def preadv(fd: int, buffers: list[memoryview], at: int) -> int:
            count = read(fd, buffers, at)
            self.read.append(count)
            self.buffers.add(id(buffers[0].obj))
            return count

        def pwrite(fd: int, data: memoryview, at: int) -> int:
            count = write(fd, data, at)
            self.written.append(count)
            return count

        monkeypatch.setattr(os, "preadv", preadv)
        monkeypatch.setattr(os, "pwrite", pwrite)


@pytest.mark.parametrize("known", [False, True], ids=["first sight", "digests known"])
def test_every_byte_is_read_once_and_written_once_in_large_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    (tmp_path / "m").write_bytes(NOISE)
    counted = Counted(monkeypatch)
    out = os.open(tmp_path / "p.zip", os.O_RDWR | os.O_CREAT)
    try:
        writer = ZipWriter(FileSink(out))
        with OpenFile.of(os.open(tmp_path / "m", os.O_RDONLY), "", "m") as source:
            writer.add_file("m", source, known=FileDigest.of(NOISE) if known else None)
        size = writer.finish()
    finally:
        os.close(out)
    chunks = -(-SIZE // CHUNK)
    assert sum(counted.read) == SIZE
    assert sum(counted.written) == size
    assert size - SIZE < 200
    assert len(counted.read) == chunks
    assert len(counted.written) == chunks + 3  # the header, the directory, its end
    assert len(counted.buffers) <= 4


@pytest.mark.parametrize(("size", "most"), [(CHUNK, CHUNK // 16), (SIZE, SIZE // 16), (100 * CHUNK, CHUNK // 2)])
def test_whether_to_deflate_is_told_from_a_small_part_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, most: int
) -> None:
    with (tmp_path / "m").open("wb") as file:
        file.truncate(size)
    counted = Counted(monkeypatch)
    with OpenFile.of(os.open(tmp_path / "m", os.O_RDONLY), "", "m") as source:
        assert worth_deflating(source)
    assert 0 < sum(counted.read) <= most
