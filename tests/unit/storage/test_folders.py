from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.worker.storage.local import Roots
from packhouse.worker.storage.location import Location

Somebody = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


def at(path: Path) -> Location:
    return Location(str(path), f"/engine/{path.name}")


def names(roots: Roots, path: Path) -> list[str]:
    return [relative for relative, _ in roots.walk(at(path))]


def code_of(action: Callable[[], object]) -> ErrorCode:
    with pytest.raises(PermanentError) as caught:
        action()
    assert caught.value.fix
    return caught.value.code


def test_files_are_listed_sorted_by_the_bytes_of_their_paths(root: Path) -> None:
    for name in ("b/x", "a.txt", "a/z", "Z", "ä", "a-b", "\U0001f600", "\uffee"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(name)
    found = dict(Roots([str(root)]).walk(at(root)))
    assert list(found) == ["Z", "a-b", "a.txt", "a/z", "b/x", "ä", "\uffee", "\U0001f600"]
    assert found["a/z"] == Location(f"{root}/a/z", f"/engine/{root.name}/a/z")


def test_links_to_files_and_folders_within_the_roots_are_walked(root: Path) -> None:
    (root / "blobs").mkdir()
    (root / "blobs" / "one").write_text("1")
    (root / "model").mkdir()
    (root / "model" / "file").symlink_to("../blobs/one")
    (root / "model" / "folder").symlink_to("../blobs")
    assert names(Roots([str(root)]), root / "model") == ["file", "folder/one"]


def test_a_link_that_leads_out_fails_the_walk(root: Path) -> None:
    (root / "passwd").symlink_to("/etc/passwd")
    assert code_of(lambda: names(Roots([str(root)]), root)) is ErrorCode.PATH_FORBIDDEN


def test_a_folder_that_contains_itself_fails_the_walk(root: Path) -> None:
    (root / "a").mkdir()
    (root / "a" / "again").symlink_to("..")
    assert code_of(lambda: names(Roots([str(root)]), root)) is ErrorCode.PATH_FORBIDDEN


def test_a_pipe_in_the_folder_fails_the_walk(root: Path) -> None:
    os.mkfifo(root / "pipe")
    assert code_of(lambda: names(Roots([str(root)]), root)) is ErrorCode.MODEL_UNREADABLE


@pytest.mark.parametrize("name", [b"\xff\xfe", b"new\nline", b"bell\x07", "c1\x85".encode()])
def test_a_name_that_cannot_be_said_fails_the_walk(root: Path, name: bytes) -> None:
    Path(os.fsdecode(os.fsencode(root) + b"/" + name)).write_text("x")
    with pytest.raises(PermanentError) as caught:
        names(Roots([str(root)]), root)
    assert caught.value.code is ErrorCode.LAYOUT_CONFLICT
    caught.value.message.encode()


def test_more_files_than_allowed_fail_the_walk(root: Path) -> None:
    for number in range(5):
        (root / str(number)).write_text("")
    roots = Roots([str(root)])
    assert len(list(roots.walk(at(root), max_files=5))) == 5
    assert code_of(lambda: list(roots.walk(at(root), max_files=4))) is ErrorCode.LAYOUT_CONFLICT


def test_folders_nested_beyond_reason_fail_the_walk(root: Path) -> None:
    (root / "/".join("d" * 70)).mkdir(parents=True)
    assert code_of(lambda: names(Roots([str(root)]), root)) is ErrorCode.LAYOUT_CONFLICT


def test_a_folder_is_told_from_a_file(root: Path) -> None:
    (root / "file").write_text("")
    roots = Roots([str(root)])
    assert roots.is_folder(at(root))
    assert not roots.is_folder(at(root / "file"))
    assert code_of(lambda: roots.is_folder(at(root / "none"))) is ErrorCode.MODEL_MISSING


def test_an_output_folder_is_made_with_the_modes_of_a_persons_own(root: Path, umask: None) -> None:
    fd = Roots([str(root)]).open_output_folder(at(root / "new" / "deep"))
    try:
        assert os.fstat(fd).st_ino == (root / "new" / "deep").stat().st_ino
        assert stat.S_IMODE((root / "new").stat().st_mode) == 0o750
        os.close(os.open("probe", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    finally:
        os.close(fd)
    assert (root / "new" / "deep" / "probe").exists()


def test_an_output_folder_outside_the_roots_is_refused_and_not_made(root: Path) -> None:
    roots = Roots([str(root)])
    (root / "out").symlink_to(root.parent)
    for path in (root.parent / "other", root / ".." / "other", root / "out" / "other"):
        assert code_of(lambda path=path: roots.open_output_folder(at(path))) is ErrorCode.PATH_FORBIDDEN
    assert not (root.parent / "other").exists()


def test_a_file_in_the_place_of_the_output_folder_is_said(root: Path) -> None:
    (root / "file").write_text("")
    roots = Roots([str(root)])
    for path in (root / "file", root / "file" / "below"):
        assert code_of(lambda path=path: roots.open_output_folder(at(path))) is ErrorCode.DESTINATION_UNWRITABLE


def test_an_output_folder_without_permission_is_unwritable(open_folder: Path, unprivileged: Somebody) -> None:
    (open_folder / "closed").mkdir()
    (open_folder / "closed").chmod(0o555)
    with unprivileged():
        roots = Roots([str(open_folder)])
        for path in ("closed", "closed/new"):
            found = code_of(lambda path=path: roots.open_output_folder(at(open_folder / path)))
            assert found is ErrorCode.DESTINATION_UNWRITABLE
