from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from packhouse.schemas.errors import ErrorCode, PackhouseError, PermanentError, TransientError
from packhouse.worker.storage.local import Roots
from packhouse.worker.storage.location import Location

Somebody = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret").write_text("secret")
    return folder


def at(path: Path | str) -> Location:
    return Location(str(path), "/engine/" + Path(path).name)


def content(roots: Roots, path: Path | str) -> str:
    with roots.open_file(at(path)) as file:
        data = os.pread(file.fd, file.size, 0)
        status = Path(file.real).stat(follow_symlinks=False)
        assert (status.st_size, str(status.st_mtime_ns)) == (file.size, file.mark)
    return data.decode()


def refusal(roots: Roots, path: Path | str) -> PackhouseError:
    with pytest.raises(PackhouseError) as caught:
        content(roots, path)
    assert caught.value.fix
    return caught.value


def test_a_file_below_a_root_is_opened(root: Path) -> None:
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "m.onnx").write_text("model")
    assert content(Roots([str(root)]), root / "a" / "b" / "m.onnx") == "model"
    assert content(Roots([str(root) + "/"]), f"{root}//a/./b/../b/m.onnx") == "model"


def test_a_file_outside_the_roots_is_refused(root: Path) -> None:
    roots = Roots([str(root)])
    for path in (root.parent / "secret", "/etc/passwd", f"{root}/../secret", f"{root}x/secret", f"{root}/../../../etc"):
        error = refusal(roots, path)
        assert error.code is ErrorCode.PATH_FORBIDDEN
        assert str(root) not in error.message


def test_without_roots_everything_is_refused(root: Path) -> None:
    (root / "m").write_text("model")
    assert refusal(Roots([]), root / "m").code is ErrorCode.PATH_FORBIDDEN


def test_links_within_the_roots_are_followed(root: Path) -> None:
    (root / "blobs").mkdir()
    (root / "blobs" / "sha").write_text("model")
    (root / "snapshots" / "1").mkdir(parents=True)
    (root / "snapshots" / "1" / "m.onnx").symlink_to("../../blobs/sha")
    (root / "absolute").symlink_to(root / "snapshots" / "1" / "m.onnx")
    (root / "folder").symlink_to("snapshots/1")
    roots = Roots([str(root)])
    for path in ("snapshots/1/m.onnx", "absolute", "folder/m.onnx"):
        assert content(roots, root / path) == "model"
        with roots.open_file(at(root / path)) as file:
            assert file.real == str(root.resolve() / "blobs" / "sha")


@pytest.mark.parametrize("target", ["../secret", "/etc/passwd", "../elsewhere/secret", "sub/../../secret", ".."])
def test_a_link_that_leaves_the_roots_is_refused(root: Path, target: str) -> None:
    (root / "sub").mkdir()
    (root / "link").symlink_to(target)
    assert refusal(Roots([str(root)]), root / "link").code is ErrorCode.PATH_FORBIDDEN


def test_a_folder_link_that_leaves_the_roots_is_refused(root: Path) -> None:
    (root / "link").symlink_to("../elsewhere")
    roots = Roots([str(root)])
    assert refusal(roots, root / "link" / "secret").code is ErrorCode.PATH_FORBIDDEN
    with pytest.raises(PermanentError):
        roots.is_folder(at(root / "link"))


def test_a_link_may_lead_from_one_root_into_another(root: Path) -> None:
    (root / "relative").symlink_to("../elsewhere/secret")
    (root / "absolute").symlink_to(root.parent / "elsewhere" / "secret")
    roots = Roots([str(root), str(root.parent / "elsewhere")])
    assert content(roots, root / "relative") == content(roots, root / "absolute") == "secret"


def test_a_root_may_itself_be_a_link_and_both_spellings_are_accepted(root: Path) -> None:
    (root / "m").write_text("model")
    (root / "absolute").symlink_to(root / "m")
    alias = root.parent / "alias"
    alias.symlink_to(root)
    roots = Roots([str(alias)])
    for path in (alias / "m", root / "m", alias / "absolute"):
        assert content(roots, path) == "model"


def test_links_in_a_circle_end(root: Path) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    assert refusal(Roots([str(root)]), root / "a").code is ErrorCode.PATH_FORBIDDEN


def test_a_missing_file_has_the_code_that_was_asked_for(root: Path) -> None:
    roots = Roots([str(root)])
    (root / "file").write_text("")
    (root / "dangling").symlink_to("nowhere")
    for path in ("none", "none/none", "file/below", "file/", "file/.", "dangling", "x" * 300):
        assert refusal(roots, f"{root}/{path}").code is ErrorCode.MODEL_MISSING
    with pytest.raises(PermanentError) as caught:
        roots.open_file(at(root / "none"), missing=ErrorCode.EXTERNAL_DATA_MISSING)
    assert caught.value.code is ErrorCode.EXTERNAL_DATA_MISSING
    assert "/engine/none" in caught.value.message


def test_what_is_no_regular_file_is_refused_without_hanging(root: Path) -> None:
    os.mkfifo(root / "fifo")
    (root / "folder").mkdir()
    (root / "null").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "socket"))
        roots = Roots([str(root), "/dev"])
        for name in ("fifo", "socket", "folder", "null"):
            assert refusal(roots, root / name).code is ErrorCode.MODEL_UNREADABLE


def test_a_file_without_permission_is_unreadable(open_folder: Path, unprivileged: Somebody) -> None:
    (open_folder / "m").write_text("model")
    (open_folder / "m").chmod(0)
    (open_folder / "closed").mkdir(mode=0o700)
    (open_folder / "closed" / "m").write_text("model")
    (open_folder / "closed").chmod(0)
    with unprivileged():
        roots = Roots([str(open_folder)])
        for path in ("m", "closed/m"):
            assert refusal(roots, open_folder / path).code is ErrorCode.MODEL_UNREADABLE
    (open_folder / "closed").chmod(0o700)


def test_a_folder_that_may_be_passed_but_not_listed_is_passed(open_folder: Path, unprivileged: Somebody) -> None:
    (open_folder / "sub").mkdir()
    (open_folder / "sub" / "m").write_text("model")
    (open_folder / "sub" / "m").chmod(0o644)
    (open_folder / "sub").chmod(0o711)
    with unprivileged():
        assert content(Roots([str(open_folder)]), open_folder / "sub" / "m") == "model"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("relative/m.onnx", ErrorCode.PATH_FORBIDDEN),
        ("C:\\olive\\m.onnx", ErrorCode.PATH_FORBIDDEN),
        ("\\\\host\\share\\m.onnx", ErrorCode.PATH_FORBIDDEN),
        ("https://account.blob.example/container/m.onnx", ErrorCode.LOCATION_UNSUPPORTED),
        ("azureml://datastores/d/paths/m.onnx", ErrorCode.LOCATION_UNSUPPORTED),
        ("/root\0/m", ErrorCode.PATH_FORBIDDEN),
        ("/models/\ud800", ErrorCode.PATH_FORBIDDEN),
        ("", ErrorCode.PATH_FORBIDDEN),
    ],
)
def test_what_is_no_path_of_this_system_is_refused(path: str, code: ErrorCode) -> None:
    with pytest.raises(PermanentError) as caught:
        Roots(["/"]).open_file(Location(path, path))
    assert caught.value.code is code
    caught.value.message.encode()


def test_a_root_that_is_not_there_may_come_later(tmp_path: Path) -> None:
    root = tmp_path / "mount"
    roots = Roots([str(root)])
    with pytest.raises(TransientError) as caught:
        roots.open_file(at(root / "m"))
    assert caught.value.code is ErrorCode.STORAGE_ERROR
    root.mkdir()
    (root / "m").write_text("model")
    assert content(roots, root / "m") == "model"


def test_a_relative_root_is_refused_at_once() -> None:
    with pytest.raises(PermanentError) as caught:
        Roots(["models"])
    assert caught.value.code is ErrorCode.CONFIGURATION_INVALID


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.ETIMEDOUT, errno.EMFILE])
def test_storage_that_does_not_answer_is_tried_again(root: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "m").write_text("model")

    def failing(*_: object, **__: object) -> os.stat_result:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "stat", failing)
    with pytest.raises(TransientError) as caught:
        Roots([str(root)]).open_file(at(root / "m"))
    assert caught.value.code is ErrorCode.STORAGE_ERROR


def test_a_file_exchanged_for_a_link_at_the_last_moment_is_not_followed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "m").write_text("model")
    real = os.stat

    def exchanging(path: str, **options: object) -> os.stat_result:
        status = real(path, **options)  # pyright: ignore[reportCallIssue, reportArgumentType]
        if path == "m":
            (root / "m").unlink()
            (root / "m").symlink_to("../secret")
        return status

    monkeypatch.setattr(os, "stat", exchanging)
    with pytest.raises(PackhouseError):
        Roots([str(root)]).open_file(at(root / "m"))


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_no_descriptor_is_left_open(root: Path) -> None:
    (root / "a").mkdir()
    (root / "a" / "m").write_text("model")
    (root / "link").symlink_to("../secret")
    roots = Roots([str(root)])

    def use() -> None:
        content(roots, root / "a" / "m")
        for path in ("none", "link", "a"):
            refusal(roots, root / path)
        list(roots.walk(at(root / "a")))
        os.close(roots.open_output_folder(at(root / "out" / "deep")))

    use()
    before = open_descriptors()
    for _ in range(20):
        use()
    assert open_descriptors() == before


NAMES = st.sampled_from(["a", "b", "f", "up", "out", "away", "self", "..", ".", ""])


@given(parts=st.lists(NAMES, max_size=8))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_path_whatsoever_opens_a_file_outside_the_roots(root: Path, parts: list[str]) -> None:
    if not (root / "a").exists():
        (root / "a" / "b").mkdir(parents=True)
        for folder in (root, root / "a", root / "a" / "b"):
            (folder / "f").write_text("model")
            (folder / "up").symlink_to("..")
            (folder / "out").symlink_to(root.parent)
            (folder / "away").symlink_to("../" * 9 + "etc/passwd")
            (folder / "self").symlink_to(".")
    (root.parent / "f").write_text("secret")
    path = f"{root}/{'/'.join(parts)}"
    try:
        with Roots([str(root)]).open_file(at(path)) as file:
            assert os.pread(file.fd, 100, 0) == b"model"
            assert os.path.realpath(path) == file.real
    except PermanentError:
        pass
