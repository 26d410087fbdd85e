from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from packhouse.schemas.cloudevent import RunRef
from packhouse.schemas.files import Manifest, ManifestEngine
from packhouse.worker.package.manifest import Sized, manifest_bytes, package_digest
from packhouse.worker.packagers.destination import look_at_replaced, real_path

HEAD = Manifest(
    packhouse="1",
    run=RunRef(source="urn:x", id="1"),
    engine=ManifestEngine(name="olive", version=None, runtime_packages=[]),
    name="Models",
    files=[],
    left_out=[],
    unavailable=[],
)


@pytest.fixture
def folder_fd(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


def test_nothing_there_replaces_nothing(folder_fd: int) -> None:
    assert look_at_replaced(folder_fd, "x.zip") is None


def test_a_package_of_ours_is_named_by_its_digest(tmp_path: Path, folder_fd: int) -> None:
    manifest = manifest_bytes(HEAD, {"b": Sized.of(b"2"), "a": Sized.of(b"1")})
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("manifest.json", manifest)
    replaced = look_at_replaced(folder_fd, "x.zip")
    assert replaced is not None
    assert replaced.digest == package_digest(manifest) == "sha256:" + hashlib.sha256(manifest).hexdigest()
    assert replaced.bytes == (tmp_path / "x.zip").stat().st_size
    assert [file.path for file in Manifest.model_validate_json(manifest).files] == ["a", "b"]


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x05\x06" + b"\0" * 18, b"PK\x05\x06" + b"\xff" * 18])
def test_a_foreign_file_has_a_size_and_no_digest(tmp_path: Path, folder_fd: int, content: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    replaced = look_at_replaced(folder_fd, "x.zip")
    assert replaced is not None
    assert (replaced.bytes, replaced.digest) == (len(content), None)


@pytest.mark.parametrize("text", [b"{}", b"[", b"\xff"])
def test_a_zip_whose_manifest_is_not_ours_has_no_digest(tmp_path: Path, folder_fd: int, text: bytes) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("manifest.json", text)
    replaced = look_at_replaced(folder_fd, "x.zip")
    assert replaced is not None
    assert replaced.digest is None


def test_what_a_link_or_a_pipe_leads_to_is_not_read(tmp_path: Path, folder_fd: int) -> None:
    with zipfile.ZipFile(tmp_path / "real.zip", "w") as archive:
        archive.writestr("manifest.json", manifest_bytes(HEAD, {}))
    (tmp_path / "link.zip").symlink_to("real.zip")
    os.mkfifo(tmp_path / "pipe.zip")
    for name in ("link.zip", "pipe.zip"):
        replaced = look_at_replaced(folder_fd, name)
        assert replaced is not None
        assert replaced.digest is None


def test_a_folder_has_one_path_however_it_was_reached(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    fds = [os.open(tmp_path / name, os.O_RDONLY) for name in ("real", "link")]
    paths = {real_path(fd) for fd in fds}
    for fd in fds:
        os.close(fd)
    assert paths == {str((tmp_path / "real").resolve())}
