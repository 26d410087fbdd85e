from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.worker.models.onnx import OnnxModel, inside, inspect

if TYPE_CHECKING:
    from unit.models.conftest import Storage


def inspected(storage: Storage, path: str = "/engine/models/m.onnx") -> OnnxModel:
    return inspect(storage.locate(path), storage.storage)


def refusal(storage: Storage, path: str = "/engine/models/m.onnx") -> PermanentError:
    with pytest.raises(PermanentError) as caught:
        inspected(storage, path)
    assert caught.value.fix
    assert str(storage.root) not in caught.value.message
    return caught.value


def test_each_external_file_is_found_once_and_sorted(storage: Storage) -> None:
    model = storage.put_onnx(
        "models/m.onnx", ("z.bin", 0, 10), ("weights/a.bin", 8, 8), ("z.bin", 90, 10), ("./z.bin", 0, None)
    )
    z = storage.put("models/z.bin", bytes(100))
    storage.put("models/weights/a.bin", bytes(16))
    storage.put("models/unrelated.bin")
    found = inspected(storage)
    assert [file.relative for file in found.external] == ["weights/a.bin", "z.bin"]
    assert [file.location.shown for file in found.external] == ["/engine/models/weights/a.bin", "/engine/models/z.bin"]
    assert (found.external[1].size, found.external[1].mark) == (100, str(z.stat().st_mtime_ns))
    assert (found.size, found.mark) == (model.stat().st_size, str(model.stat().st_mtime_ns))


def test_backslashes_of_a_model_saved_on_windows_are_folders(storage: Storage) -> None:
    storage.put_onnx("models/m.onnx", ("weights\\a.bin", 0, 4))
    storage.put("models/weights/a.bin")
    assert [file.relative for file in inspected(storage).external] == ["weights/a.bin"]


@pytest.mark.parametrize(
    "location",
    [
        "../secret",
        "a/../../secret",
        "/etc/passwd",
        "C:\\weights",
        "c:weights",
        "\\\\host\\share\\w",
        "..\\secret",
        ".",
        "..",
    ],
)
def test_external_data_outside_the_models_folder_is_refused(storage: Storage, location: str) -> None:
    storage.put("secret")
    storage.put_onnx("models/m.onnx", (location, 0, 1))
    error = refusal(storage)
    assert error.code is ErrorCode.EXTERNAL_DATA_OUTSIDE
    assert "'w0'" in error.message


def test_missing_external_data_is_said_by_name(storage: Storage) -> None:
    storage.put_onnx("models/m.onnx", ("weights.bin", 0, 1))
    error = refusal(storage)
    assert error.code is ErrorCode.EXTERNAL_DATA_MISSING
    assert "/engine/models/weights.bin" in error.message


@pytest.mark.parametrize(("offset", "length"), [(0, 101), (100, 1), (1 << 60, None), (60, 60)])
def test_a_tensor_beyond_the_end_of_its_file_is_refused(storage: Storage, offset: int, length: int | None) -> None:
    storage.put_onnx("models/m.onnx", ("w.bin", 0, 100), ("w.bin", offset, length))
    storage.put("models/w.bin", bytes(100))
    error = refusal(storage)
    assert error.code is ErrorCode.EXTERNAL_DATA_TRUNCATED
    assert "100 bytes" in error.message
    assert "'w1'" in error.message


def test_a_link_to_external_data_elsewhere_below_the_roots_is_followed(storage: Storage) -> None:
    storage.put_onnx("snapshots/1/m.onnx", ("w.bin", 0, 4))
    storage.put("blobs/sha", b"data")
    (storage.root / "snapshots/1/w.bin").symlink_to("../../blobs/sha")
    found = inspected(storage, "/engine/snapshots/1/m.onnx")
    assert [(file.relative, file.size) for file in found.external] == [("w.bin", 4)]


def test_a_link_to_external_data_outside_the_roots_is_refused(storage: Storage) -> None:
    storage.put_onnx("models/m.onnx", ("w.bin", 0, 4))
    (storage.root / "models/w.bin").symlink_to("/etc/passwd")
    assert refusal(storage).code is ErrorCode.PATH_FORBIDDEN


def test_a_linked_model_has_its_external_data_beside_the_link(storage: Storage) -> None:
    storage.put_onnx("blobs/sha1", ("w.bin", 0, 4))
    storage.put("models/w.bin")
    (storage.root / "models/m.onnx").symlink_to("../blobs/sha1")
    assert [file.relative for file in inspected(storage).external] == ["w.bin"]


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda path: path.write_bytes(b"no model"), ErrorCode.MODEL_NOT_ONNX),
        (lambda path: path.write_bytes(b""), ErrorCode.MODEL_NOT_ONNX),
        (lambda path: None, ErrorCode.MODEL_MISSING),
        (lambda path: path.mkdir(), ErrorCode.MODEL_UNREADABLE),
        (os.mkfifo, ErrorCode.MODEL_UNREADABLE),
    ],
)
def test_what_is_no_model_is_refused_by_its_name(storage: Storage, make, code: ErrorCode) -> None:
    make(storage.root / "m.onnx")
    error = refusal(storage, "/engine/m.onnx")
    assert error.code is code
    assert "/engine/m.onnx" in error.message


@given(st.lists(st.sampled_from(["a", "b", "..", ".", "", "C:"]), min_size=1), st.sampled_from("/\\"))
def test_a_plain_relative_path_never_leads_out(parts: list[str], separator: str) -> None:
    plain = inside(separator.join(parts))
    if plain is not None:
        assert not plain.startswith(("/", "C:"))
        assert not {"", ".", ".."} & set(plain.split("/"))
        assert inside(plain) == plain
