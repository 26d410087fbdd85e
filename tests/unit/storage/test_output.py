from __future__ import annotations

import errno
import os
import resource
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from packhouse.schemas.errors import ErrorCode, PermanentError, TransientError
from packhouse.worker.storage.output import discard_stale, partial_name, publish_file
from packhouse.worker.storage.sink import FileSink
from packhouse.worker.storage.zip_writer import ZipWriter

Somebody = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def half_written(folder: int, error: BaseException) -> None:
    with publish_file(folder, "p.zip", "t1", "job") as fd:
        os.write(fd, b"half")
        raise error


def with_a_large_entry(folder: int) -> None:
    with publish_file(folder, "p.zip", "t1", "job") as fd:
        ZipWriter(FileSink(fd)).add_bytes("big", bytes(10_000))


def test_a_file_appears_whole_after_it_was_confirmed_and_not_before(tmp_path: Path, folder: int) -> None:
    seen: list[list[str]] = []
    with publish_file(folder, "p.zip", "t1", "job", confirm=lambda: seen.append(names(tmp_path))) as fd:
        os.write(fd, b"whole")
        assert names(tmp_path) == [".p.zip.job-t1.partial"]
    assert seen == [[".p.zip.job-t1.partial"]]
    assert (tmp_path / "p.zip").read_bytes() == b"whole"
    assert names(tmp_path) == ["p.zip"]


@pytest.mark.parametrize("durable", [True, False])
def test_bytes_are_on_disk_before_the_name_is_unless_that_is_not_wanted(
    folder: int, monkeypatch: pytest.MonkeyPatch, *, durable: bool
) -> None:
    done: list[str] = []
    sync, rename = os.fsync, os.rename
    monkeypatch.setattr(os, "fsync", lambda fd: (done.append("folder" if fd == folder else "file"), sync(fd)))
    monkeypatch.setattr(os, "rename", lambda *a, **k: (done.append("rename"), rename(*a, **k)))
    with publish_file(folder, "p.zip", "t1", "job", durable=durable) as fd:
        os.write(fd, b"whole")
    assert done == (["file", "rename", "folder"] if durable else ["rename"])


def test_a_file_that_is_there_stays_until_the_new_one_is_whole(tmp_path: Path, folder: int) -> None:
    (tmp_path / "p.zip").write_text("old")
    with publish_file(folder, "p.zip", "t1", "job") as fd:
        os.write(fd, b"new")
        assert (tmp_path / "p.zip").read_text() == "old"
    assert (tmp_path / "p.zip").read_text() == "new"


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
def test_whatever_is_raised_leaves_nothing_behind(tmp_path: Path, folder: int, error: type[BaseException]) -> None:
    (tmp_path / "p.zip").write_text("old")
    with pytest.raises(error):
        half_written(folder, error())
    assert names(tmp_path) == ["p.zip"]
    assert (tmp_path / "p.zip").read_text() == "old"


def test_a_confirmation_that_fails_keeps_the_file_from_appearing(tmp_path: Path, folder: int) -> None:
    def lost() -> None:
        raise TransientError(ErrorCode.LEASE_LOST, "The lease is lost.", fix="None.")

    with pytest.raises(TransientError), publish_file(folder, "p.zip", "t1", "job", confirm=lost) as fd:
        os.write(fd, b"whole")
    assert names(tmp_path) == []


def test_the_file_has_the_mode_of_a_persons_own(tmp_path: Path, folder: int, umask: None) -> None:
    with publish_file(folder, "p.zip", "t1", "job"):
        pass
    assert stat.S_IMODE((tmp_path / "p.zip").stat().st_mode) == 0o640


def test_the_file_belongs_to_the_group_of_a_setgid_folder(tmp_path: Path, folder: int) -> None:
    group = 54321 if os.geteuid() == 0 else os.getgid()
    os.chown(tmp_path, -1, group)
    tmp_path.chmod(0o2775)
    (tmp_path / "own").write_text("")
    with publish_file(folder, "p.zip", "t1", "job"):
        pass
    assert (tmp_path / "p.zip").stat().st_gid == group == (tmp_path / "own").stat().st_gid


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_said_with_the_bytes_that_were_needed(tmp_path: Path, folder: int, number: int) -> None:
    with (
        pytest.raises(PermanentError) as caught,
        publish_file(folder, "p.zip", "t1", "job", shown="/engine/out/p.zip", needed=12345),
    ):
        raise OSError(number, os.strerror(number))
    assert caught.value.code is ErrorCode.DISK_FULL
    assert "/engine/out/p.zip of 12345 bytes" in caught.value.message
    assert names(tmp_path) == []


def test_a_file_that_grows_beyond_what_the_system_allows_is_said(tmp_path: Path, folder: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(PermanentError) as caught:
            with_a_large_entry(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.code is ErrorCode.DISK_FULL
    assert names(tmp_path) == []


def test_a_folder_in_the_place_of_the_file_is_said_before_anything_is_poured(tmp_path: Path, folder: int) -> None:
    (tmp_path / "p.zip").mkdir()
    poured = False
    with pytest.raises(PermanentError) as caught, publish_file(folder, "p.zip", "t1", "job"):
        poured = True
    assert caught.value.code is ErrorCode.DESTINATION_UNWRITABLE
    assert not poured


def test_a_folder_without_permission_is_unwritable(open_folder: Path, unprivileged: Somebody) -> None:
    open_folder.chmod(0o555)
    fd = os.open(open_folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with unprivileged(), pytest.raises(PermanentError) as caught, publish_file(fd, "p.zip", "t1", "job"):
            pass
    finally:
        os.close(fd)
    assert caught.value.code is ErrorCode.DESTINATION_UNWRITABLE


def test_an_unfinished_file_that_somebody_removed_is_tried_again(tmp_path: Path, folder: int) -> None:
    with pytest.raises(TransientError) as caught, publish_file(folder, "p.zip", "t1", "job"):
        (tmp_path / partial_name("p.zip", "t1", "job")).unlink()
    assert caught.value.code is ErrorCode.STORAGE_ERROR


def test_an_attempt_begun_anew_under_its_own_token_starts_from_nothing(tmp_path: Path, folder: int) -> None:
    (tmp_path / partial_name("p.zip", "t1", "job")).write_text("remains of before")
    with publish_file(folder, "p.zip", "t1", "job") as fd:
        os.write(fd, b"new")
    assert (tmp_path / "p.zip").read_text() == "new"


def test_leftovers_of_the_same_job_alone_are_discarded(tmp_path: Path, folder: int) -> None:
    stale = [partial_name("p.zip", "dead1", "job-1"), partial_name("p.zip", "dead2", "job-1")]
    others = [
        partial_name("p.zip", "mine", "job-1"),
        partial_name("p.zip", "dead1", "job-2"),
        partial_name("p.zip", "dead1", "job-1-more"),
        partial_name("q.zip", "dead1", "job-1"),
        "p.zip",
        ".p.zip.job-1-.partial",
        ".p.zip.job-1-dead1.partial.bak",
    ]
    for name in (*stale, *others):
        (tmp_path / name).write_text("")
    assert sorted(discard_stale(folder, "p.zip", "job-1", "mine")) == sorted(stale)
    assert names(tmp_path) == sorted(others)


def test_the_longest_names_fit_a_file_system(tmp_path: Path, folder: int) -> None:
    name = "n" * 180 + ".zip"
    assert len(partial_name(name, "t" * 16, "j" * 40)) <= 255
    with publish_file(folder, name, "t" * 16, "j" * 40):
        pass
    assert (tmp_path / name).exists()


def test_the_rename_replaces_a_link_and_not_what_it_points_to(tmp_path: Path, folder: int) -> None:
    (tmp_path / "target").write_text("untouched")
    (tmp_path / "p.zip").symlink_to("target")
    with publish_file(folder, "p.zip", "t1", "job") as fd:
        os.write(fd, b"new")
    assert not (tmp_path / "p.zip").is_symlink()
    assert (tmp_path / "target").read_text() == "untouched"
