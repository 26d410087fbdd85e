"""Copies of blobs on disk: read along while they are made, gone on with after a death, never removed while read."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from packhouse.worker.storage.blob import copies as module
from packhouse.worker.storage.blob.copies import BlobCopies, Copy, NoCopy

PIECE = 1000
DATA = random.Random(1).randbytes(10 * PIECE + 7)
READ = """
import sys
from pathlib import Path
from packhouse.worker.storage.blob.copies import BlobCopies
data = bytes(10) * int(sys.argv[3])
copy = BlobCopies(Path(sys.argv[1]), 1 << 30).join(sys.argv[2], len(data))
buffer = memoryview(bytearray(len(data)))
at = 0
while at < len(data) // 2:
    at += copy.readinto(buffer[at : at + 10], at, lambda at: memoryview(data)[at : at + 10])
print("half", flush=True)
sys.stdin.readline()
while at < len(data):
    at += copy.readinto(buffer[at:], at, lambda at: memoryview(data)[at : at + 10])
print("whole", flush=True)
sys.stdin.read()
"""


class Wire:
    """Where the bytes come from, counted."""

    def __init__(self, data: bytes = DATA) -> None:
        self.data = data
        self.asked: list[int] = []

    def __call__(self, at: int) -> memoryview:
        self.asked.append(at)
        return memoryview(self.data)[at : at + PIECE]


def joined(copies: BlobCopies, name: str = "a", data: bytes = DATA) -> Copy:
    copy = copies.join(name, len(data))
    assert copy is not None
    return copy


def read(copy: Copy, wire: Wire, begin: int = 0, end: int | None = None) -> bytes:
    end = len(wire.data) if end is None else end
    out = bytearray(end - begin)
    at = begin
    while at < end:
        with memoryview(out) as view:
            at += copy.readinto(view[at - begin :], at, wire)
    return bytes(out)


@contextmanager
def reading(folder: Path, name: str, tens: int) -> Generator[subprocess.Popen[str]]:
    """Another process that has read half of a blob."""
    command = [sys.executable, "-c", READ, str(folder), name, str(tens)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.communicate()


def test_the_second_reader_asks_for_nothing_and_a_whole_copy_is_one_file(tmp_path: Path) -> None:
    copies, first, second = BlobCopies(tmp_path, 1 << 20), Wire(), Wire()
    assert copies.whole("a", len(DATA)) is None
    with contextlib.closing(joined(copies)) as copy:
        assert not copy.begun
        assert read(copy, first) == DATA
    assert first.asked == list(range(0, len(DATA), PIECE))
    with contextlib.closing(joined(BlobCopies(tmp_path, 1 << 20))) as copy:
        assert copy.begun
        assert read(copy, second) == DATA
        assert copy.readinto(memoryview(bytearray(5)), len(DATA), second) == 0
    assert second.asked == []
    assert [path.stat().st_size for path in tmp_path.iterdir() if path.name != ".room"] == [len(DATA)]


def test_two_at_once_read_along(tmp_path: Path) -> None:
    copies, first, second = BlobCopies(tmp_path, 1 << 20), Wire(), Wire()
    with contextlib.closing(joined(copies)) as one, contextlib.closing(joined(copies)) as other:
        for begin in range(0, len(DATA), PIECE):
            end = min(begin + PIECE, len(DATA))
            assert read(one, first, begin, end) == read(other, second, begin, end) == DATA[begin:end]
    assert sorted(first.asked) == list(range(0, len(DATA), PIECE))
    assert second.asked == []


def test_what_one_left_unfinished_another_goes_on_with(tmp_path: Path) -> None:
    copies, first, second = BlobCopies(tmp_path, 1 << 20), Wire(), Wire()
    with contextlib.closing(joined(copies)) as copy:
        read(copy, first, 0, 3 * PIECE)
    assert copies.whole("a", len(DATA)) is None
    with contextlib.closing(joined(copies)) as copy:
        assert read(copy, second) == DATA
    assert sorted([*first.asked, *second.asked]) == list(range(0, len(DATA), PIECE))


def test_a_reader_goes_on_where_a_writer_was_killed(tmp_path: Path) -> None:
    data = bytes(1000)
    wire = Wire(data)
    with reading(tmp_path, "a", 100) as process:
        copies = BlobCopies(tmp_path, 1 << 20)
        with contextlib.closing(joined(copies, "a", data)) as copy:
            assert read(copy, wire, 0, 500) == data[:500]
            assert wire.asked == []
            process.kill()
            process.wait(10)
            assert read(copy, wire) == data
    assert wire.asked == [500]
    assert copies.whole("a", 1000) is not None


def test_whoever_stands_still_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.1)
    with reading(tmp_path, "a", 100):
        copy = joined(BlobCopies(tmp_path, 1 << 20), "a", bytes(1000))
        with contextlib.closing(copy), pytest.raises(NoCopy):
            read(copy, Wire(bytes(1000)))


def test_another_version_of_a_blob_is_another_blob(tmp_path: Path) -> None:
    copies = BlobCopies(tmp_path, 1 << 20)
    with contextlib.closing(joined(copies)) as copy:
        read(copy, Wire())
    assert copies.whole("b", len(DATA)) is None
    assert copies.whole("a", len(DATA) - 1) is None


def names(copies: BlobCopies, size: int) -> list[str]:
    found: list[str] = []
    for name in "abcdef":
        copy = copies.whole(name, size)
        if copy is not None:
            copy.close()
            found.append(name)
    return found


def fill(copies: BlobCopies, folder: Path, *which: str) -> None:
    """Whole copies, each used later than the one before."""
    for second, name in enumerate(which):
        before = set(folder.iterdir()) if folder.exists() else set[Path]()
        with contextlib.closing(joined(copies, name, bytes(PIECE))) as copy:
            read(copy, Wire(bytes(PIECE)))
        for path in set(folder.iterdir()) - before:
            os.utime(path, (second, second))


def test_what_was_not_used_for_longest_makes_room(tmp_path: Path) -> None:
    copies = BlobCopies(tmp_path, 3 * PIECE)
    fill(copies, tmp_path, "a", "b", "c")
    used = copies.whole("a", PIECE)
    assert used is not None
    used.close()
    fill(copies, tmp_path, "d")
    assert names(copies, PIECE) == ["a", "c", "d"]


def test_what_another_process_reads_or_writes_is_never_removed(tmp_path: Path) -> None:
    copies = BlobCopies(tmp_path, 2 * PIECE)
    with reading(tmp_path, "a", PIECE // 10) as process:
        fill(copies, tmp_path, "b", "c", "d")
        assert names(copies, PIECE) == ["d"]
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "whole\n"
        fill(copies, tmp_path, "e", "f")
        assert names(copies, PIECE) == ["a", "f"]
        with contextlib.closing(joined(copies, "f", bytes(PIECE))):
            assert copies.join("b", PIECE) is None
    fill(copies, tmp_path, "c")
    assert names(copies, PIECE) == ["c", "f"]


def test_the_limit_counts_what_is_still_to_come(tmp_path: Path) -> None:
    copies = BlobCopies(tmp_path, 3 * len(DATA) // 2)
    with contextlib.closing(joined(copies)) as copy:
        read(copy, Wire(), 0, 1)
        assert copies.join("b", len(DATA)) is None
    assert BlobCopies(tmp_path, len(DATA) - 1).join("c", len(DATA)) is None


def test_a_disk_that_is_nearly_full_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEFT_FREE", 1 << 60)
    assert BlobCopies(tmp_path, 1 << 20).join("a", 1000) is None


def test_a_disk_that_becomes_full_ends_the_copy_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    copies, wire = BlobCopies(tmp_path, 1 << 20), Wire()
    with contextlib.closing(joined(copies)) as copy:
        read(copy, wire, 0, PIECE)

        def full(*_: object) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "pwrite", full)
        with pytest.raises(NoCopy):
            read(copy, wire)
    assert [path.name for path in tmp_path.iterdir()] == [".room"]
    assert len(caplog.records) == 1


@pytest.mark.parametrize("kind", ["missing", "a file", "read-only"])
def test_a_folder_that_cannot_be_used_is_told_once(
    kind: str,
    open_folder: Path,
    unprivileged: Callable[[], AbstractContextManager[None]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = open_folder / "blobs"
    if kind == "a file":
        folder.touch()
    if kind == "read-only":
        folder.mkdir()
        folder.chmod(0o555)
    if kind == "missing":
        open_folder.chmod(0o555)
    copies = BlobCopies(folder, 1 << 20)
    with unprivileged():
        assert [copies.join("a", 10), copies.join("b", 10), copies.whole("a", 10)] == [None] * 3
    assert len(caplog.records) == 1
    assert str(folder) in caplog.text
    open_folder.chmod(0o777)
