"""Digests that a machine knows: taken for a file only while it cannot be another one."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from support.farm import wait_for

from packhouse.schemas.errors import TransientError
from packhouse.worker.storage.digest import FileDigest
from packhouse.worker.storage.known import LEAST, MOST_IN_FOLDER, KnownDigests, turn
from packhouse.worker.storage.local import OpenFile

LATER = 3 * 10**9
HOLD = """
import sys
from packhouse.worker.storage.known import KnownDigests
from pathlib import Path
with KnownDigests(Path(sys.argv[1])).alone(sys.argv[2], lambda: None):
    print("held", flush=True)
    sys.stdin.read()
"""


def digest(data: bytes) -> FileDigest:
    return FileDigest.of(data)


def never() -> None:
    raise AssertionError("there is nobody to wait for")


@contextmanager
def opened(path: Path, *, after: int = LATER) -> Generator[OpenFile]:
    """The file, opened so many nanoseconds from now."""
    with OpenFile.of(os.open(path, os.O_RDONLY), str(path), "/engine/w.bin") as file:
        yield replace(file, opened=time.time_ns() + after)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "w.bin"
    path.write_bytes(bytes(LEAST))
    return path


@pytest.fixture
def store(tmp_path: Path) -> KnownDigests:
    return KnownDigests(tmp_path / "digests")


def learn(store: KnownDigests, path: Path) -> FileDigest:
    with opened(path) as file, turn(store, file, never) as mine:
        assert mine.known is None
        found = digest(path.read_bytes())
        mine.settle(found)
    return found


def known(store: KnownDigests, path: Path, *, after: int = LATER) -> FileDigest | None:
    with opened(path, after=after) as file, turn(store, file, never) as mine:
        return mine.known


def test_what_one_process_has_digested_another_one_knows(tmp_path: Path, weights: Path) -> None:
    folder = tmp_path / "digests"
    assert known(KnownDigests(folder), weights) is None
    found = learn(KnownDigests(folder), weights)
    assert known(KnownDigests(folder), weights) == found


def same_size(path: Path) -> None:
    path.write_bytes(b"x" * LEAST)


def restored_time(path: Path) -> None:
    before = path.stat().st_mtime_ns
    path.write_bytes(b"x" * LEAST)
    os.utime(path, ns=(before, before))


def another_in_its_place(path: Path) -> None:
    before = path.stat().st_mtime_ns
    other = path.with_name("other")
    other.write_bytes(b"x" * LEAST)
    os.utime(other, ns=(before, before))
    other.rename(path)


def longer(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


@pytest.mark.parametrize("change", [same_size, restored_time, another_in_its_place, longer])
def test_a_file_that_was_written_to_is_not_taken_for_what_it_was(
    store: KnownDigests, weights: Path, change: Callable[[Path], None]
) -> None:
    learn(store, weights)
    written = weights.stat().st_ctime_ns
    # Times of files stand still between two ticks of the kernel's clock, which is what the rule below is for.
    wait_for(lambda: _now(weights.parent) > written, what="the clock of the file system to go on")
    change(weights)
    assert known(store, weights) is None


def _now(folder: Path) -> int:
    probe = folder / "probe"
    probe.touch()
    return probe.stat().st_mtime_ns


def test_a_file_that_was_written_just_before_it_was_opened_is_neither_known_nor_kept(
    store: KnownDigests, weights: Path
) -> None:
    found = digest(weights.read_bytes())
    for after in (0, 10**9):
        with opened(weights, after=after) as file, turn(store, file, never) as mine:
            assert mine.identity is None
            mine.settle(found)
    assert known(store, weights) is None
    learn(store, weights)
    assert known(store, weights, after=0) is None
    assert known(store, weights) == found


def test_a_file_whose_time_lies_ahead_is_not_trusted(store: KnownDigests, weights: Path) -> None:
    ahead = time.time_ns() + 3600 * 10**9
    os.utime(weights, ns=(ahead, ahead))
    with opened(weights) as file:
        assert file.identity() is None
    with opened(weights, after=3610 * 10**9) as file:
        assert file.identity() is not None


def test_digests_of_a_file_that_was_touched_while_it_was_read_are_not_kept(store: KnownDigests, weights: Path) -> None:
    with opened(weights) as file, turn(store, file, never) as mine:
        weights.chmod(0o600)
        mine.settle(digest(bytes(LEAST)))
    assert known(store, weights) is None


def test_a_file_that_was_touched_while_its_digests_were_taken_for_known_is_read_again_later(
    store: KnownDigests, weights: Path
) -> None:
    found = learn(store, weights)
    with opened(weights) as file, turn(store, file, never) as mine:
        assert mine.known == found
        mine.settle(found)
        wait_for(lambda: _now(weights.parent) > weights.stat().st_ctime_ns, what="the clock of the file system")
        restored_time(weights)
        with pytest.raises(TransientError, match=r"/engine/w\.bin was touched"):
            mine.settle(found)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-2] + (b"0\n" if data[-2:-1] != b"0" else b"1\n"),
        lambda data: bytes([data[0] ^ 1]) + data[1:],
        lambda data: data[:45] + (b"0" if data[45:46] != b"0" else b"1") + data[46:],
        lambda data: b"\xff" * len(data),
    ],
)
def test_a_damaged_entry_is_as_if_it_were_not_there(
    store: KnownDigests, weights: Path, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    found = learn(store, weights)
    (entry,) = (path for path in (tmp_path / "digests").glob("??/*") if path.is_file())
    entry.write_bytes(damage(entry.read_bytes()))
    assert known(store, weights) is None
    learn(store, weights)
    assert known(store, weights) == found


def test_an_entry_under_the_name_of_another_file_is_not_its_digest(store: KnownDigests, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in "ab"]
    for path in paths:
        path.write_bytes(os.urandom(LEAST))
        learn(store, path)
    one, other = (tmp_path / "digests").glob("??/*")
    one.write_bytes(other.read_bytes())
    assert [known(store, path) for path in paths].count(None) == 1


def test_small_files_leave_nothing_behind(store: KnownDigests, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.write_bytes(bytes(LEAST - 1))
    learn(store, small)
    assert not (tmp_path / "digests").exists()


def test_the_store_is_bounded_and_the_oldest_go_first(store: KnownDigests, tmp_path: Path) -> None:
    folder = tmp_path / "digests"
    kept: dict[Path, str] = {}
    for number in range(300 * MOST_IN_FOLDER):
        name = f"file {number}"
        if hashlib.sha256(name.encode()).hexdigest().startswith("00"):
            store.keep(name, digest(name.encode()))
            (path,) = set((folder / "00").iterdir()) - set(kept)
            os.utime(path, (number, number))
            kept[path] = name
    names = list(kept.values())
    assert len(names) > MOST_IN_FOLDER
    assert len(list((folder / "00").iterdir())) == MOST_IN_FOLDER
    assert [name for name in names if store.get(name)] == names[-MOST_IN_FOLDER:]


@pytest.mark.parametrize("kind", ["missing", "a file", "read-only"])
def test_a_folder_that_cannot_be_used_costs_a_warning_and_nothing_else(
    kind: str,
    open_folder: Path,
    unprivileged: Callable[[], AbstractContextManager[None]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = open_folder / "digests"
    if kind == "a file":
        folder.touch()
    if kind == "read-only":
        folder.mkdir(mode=0o555)
        folder.chmod(0o555)
    if kind == "missing":
        open_folder.chmod(0o555)
    store = KnownDigests(folder)
    weights = open_folder.with_name(f"{open_folder.name}.bin")
    weights.write_bytes(bytes(5 << 20))
    weights.chmod(0o444)
    try:
        with unprivileged():
            for _ in range(2):
                learn(store, weights)
        assert len(caplog.records) == 1
        assert str(folder) in caplog.text
    finally:
        weights.unlink()
        open_folder.chmod(0o777)


def test_what_another_process_digests_is_waited_for_until_it_ends_or_dies(tmp_path: Path, weights: Path) -> None:
    with weights.open("ab") as file:
        file.truncate(5 << 20)
    folder = tmp_path / "digests"
    with opened(weights) as file:
        identity = str(file.identity())
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), identity], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    waited: list[int] = []

    def waiting() -> None:
        waited.append(1)
        if len(waited) == 3:
            KnownDigests(folder).keep(identity, digest(b"from the other one"))
            process.kill()

    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with opened(weights) as file, turn(KnownDigests(folder), file, waiting) as mine:
            assert mine.known == digest(b"from the other one")
        assert len(waited) >= 3
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.communicate()


def test_whoever_waits_may_be_called_off(tmp_path: Path) -> None:
    store = KnownDigests(tmp_path / "digests")

    def called_off() -> None:
        raise TimeoutError

    with store.alone("a", never), pytest.raises(TimeoutError), store.alone("a", called_off):
        pass
    with store.alone("a", never):
        pass
