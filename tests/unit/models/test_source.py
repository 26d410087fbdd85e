from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.worker.models.source import ModelSource, SourceKind

if TYPE_CHECKING:
    from unit.models.conftest import Storage


def layout(source: ModelSource) -> dict[str, str]:
    return {file.relative: file.location.shown.removeprefix("/engine/") for file in source.files}


def refusal(storage: Storage, model_path: object, kind: str = "ONNXModel", **config: object) -> PermanentError:
    with pytest.raises(PermanentError) as caught:
        storage.find(model_path, kind, **config)
    assert caught.value.fix
    return caught.value


def test_an_onnx_file_becomes_model_onnx_and_its_external_data_keep_their_names(storage: Storage) -> None:
    model = storage.put_onnx("out/best.onnx", ("best.onnx.data", 0, 4), ("sub/w.bin", 0, None))
    storage.put("out/best.onnx.data")
    storage.put("out/sub/w.bin")
    storage.put("out/notes.txt")
    source = storage.find("/engine/out/best.onnx")
    assert source.kind is SourceKind.ONNX_FILE
    assert source.main == "model.onnx"
    assert source.onnx_file_name is None
    assert layout(source) == {
        "best.onnx.data": "out/best.onnx.data",
        "model.onnx": "out/best.onnx",
        "sub/w.bin": "out/sub/w.bin",
    }
    main = next(file for file in source.files if file.relative == source.main)
    assert (main.size, main.mark) == (model.stat().st_size, str(model.stat().st_mtime_ns))


def test_all_files_of_an_onnx_folder_travel_along(storage: Storage) -> None:
    storage.put_onnx("out/onnx/decoder.onnx", ("w.bin", 0, 4))
    storage.put("out/onnx/w.bin")
    storage.put("out/tokenizer.json")
    storage.put_onnx("out/other.onnx")
    source = storage.find("/engine/out", onnx_file_name="onnx/decoder.onnx")
    assert source.kind is SourceKind.ONNX_FOLDER
    assert source.main == "onnx/model.onnx"
    assert source.onnx_file_name == "model.onnx"
    assert layout(source) == {
        "onnx/model.onnx": "out/onnx/decoder.onnx",
        "onnx/w.bin": "out/onnx/w.bin",
        "other.onnx": "out/other.onnx",
        "tokenizer.json": "out/tokenizer.json",
    }
    assert storage.find("/engine/out", onnx_file_name=".\\onnx\\decoder.onnx") == source


def test_the_only_onnx_file_of_a_folder_needs_no_name(storage: Storage) -> None:
    storage.put_onnx("out/m.onnx")
    storage.put("out/tokenizer.json")
    source = storage.find("/engine/out")
    assert layout(source) == {"model.onnx": "out/m.onnx", "tokenizer.json": "out/tokenizer.json"}
    assert source.onnx_file_name is None


def test_several_onnx_files_without_a_name_are_named_in_the_error(storage: Storage) -> None:
    storage.put_onnx("out/encoder.onnx")
    storage.put_onnx("out/decoder.onnx")
    error = refusal(storage, "/engine/out")
    assert error.code is ErrorCode.LAYOUT_CONFLICT
    assert "decoder.onnx, encoder.onnx" in error.message


def test_a_folder_without_an_onnx_file_is_no_onnx_model(storage: Storage) -> None:
    storage.put("out/readme.txt")
    assert refusal(storage, "/engine/out").code is ErrorCode.MODEL_MISSING
    assert refusal(storage, "/engine/out", onnx_file_name="m.onnx").code is ErrorCode.MODEL_MISSING


def test_an_onnx_file_name_that_leads_out_of_the_folder_is_forbidden(storage: Storage) -> None:
    storage.put_onnx("out/m.onnx")
    for name in ("../other/m.onnx", "/etc/passwd", "C:\\m.onnx"):
        assert refusal(storage, "/engine/out", onnx_file_name=name).code is ErrorCode.PATH_FORBIDDEN


@pytest.mark.parametrize("kind", ["PyTorchModel", "HfModel", "tensorflowmodel", "SomethingNew"])
def test_other_models_are_packaged_as_they_are(storage: Storage, kind: str) -> None:
    storage.put("out/config.json")
    storage.put("out/sub/weights.safetensors")
    folder = storage.find("/engine/out", kind)
    assert (folder.kind, folder.main, folder.onnx_file_name) == (SourceKind.FOLDER, "", None)
    assert list(layout(folder)) == ["config.json", "sub/weights.safetensors"]
    file = storage.find("/engine/out/sub/weights.safetensors", kind)
    assert (file.kind, file.main) == (SourceKind.FILE, "weights.safetensors")
    assert list(layout(file)) == ["weights.safetensors"]


def test_an_empty_folder_is_no_model(storage: Storage) -> None:
    (storage.root / "out").mkdir()
    assert refusal(storage, "/engine/out", "HfModel").code is ErrorCode.MODEL_MISSING


@pytest.mark.parametrize(
    ("model_path", "kind", "code"),
    [
        ("microsoft/phi-2", "HfModel", ErrorCode.MODEL_TYPE_UNSUPPORTED),
        ("cache/m.onnx", "ONNXModel", ErrorCode.PATH_FORBIDDEN),
        (None, "ONNXModel", ErrorCode.MODEL_TYPE_UNSUPPORTED),
        ("https://account.blob.example/c/m.onnx", "ONNXModel", ErrorCode.LOCATION_UNSUPPORTED),
        ("C:\\olive\\m.onnx", "ONNXModel", ErrorCode.PATH_FORBIDDEN),
        ("/etc/passwd", "PyTorchModel", ErrorCode.PATH_FORBIDDEN),
        ({"type": "azureml_model", "config": {}}, "ONNXModel", ErrorCode.MODEL_TYPE_UNSUPPORTED),
    ],
)
def test_a_model_that_is_no_file_of_the_storage_is_refused(
    storage: Storage, model_path: object, kind: str, code: ErrorCode
) -> None:
    assert refusal(storage, model_path, kind).code is code


def test_a_model_of_several_models_is_refused_as_such(storage: Storage) -> None:
    error = refusal(storage, None, "CompositeModel", model_components=[])
    assert error.code is ErrorCode.MODEL_TYPE_UNSUPPORTED
    assert "several models" in error.message


@pytest.mark.parametrize("name", ["configurations.json", "Metrics.JSON", "inference_config.json", "model_info.json"])
def test_a_file_with_a_name_that_we_write_ourselves_is_a_conflict(storage: Storage, name: str) -> None:
    storage.put(f"out/{name}")
    error = refusal(storage, "/engine/out", "HfModel")
    assert error.code is ErrorCode.LAYOUT_CONFLICT
    assert f"/engine/out/{name}" in error.message


def test_files_of_our_names_in_folders_of_the_model_are_no_conflict(storage: Storage) -> None:
    storage.put("out/eval/metrics.json")
    assert list(layout(storage.find("/engine/out", "HfModel"))) == ["eval/metrics.json"]


def test_files_that_differ_in_letter_case_alone_are_a_conflict(storage: Storage) -> None:
    storage.put("out/Weights.bin")
    storage.put("out/weights.bin")
    assert refusal(storage, "/engine/out", "HfModel").code is ErrorCode.LAYOUT_CONFLICT


def test_another_file_already_called_model_onnx_is_a_conflict(storage: Storage) -> None:
    storage.put_onnx("out/best.onnx")
    storage.put_onnx("out/model.onnx")
    assert refusal(storage, "/engine/out", onnx_file_name="best.onnx").code is ErrorCode.LAYOUT_CONFLICT
    source = storage.find("/engine/out", onnx_file_name="model.onnx")
    assert layout(source) == {"best.onnx": "out/best.onnx", "model.onnx": "out/model.onnx"}


def test_a_model_with_tensors_in_its_own_file_keeps_finding_them(storage: Storage) -> None:
    storage.put_onnx("a/own.onnx", ("own.onnx", 0, 10))
    assert list(layout(storage.find("/engine/a/own.onnx"))) == ["model.onnx", "own.onnx"]
    storage.put_onnx("b/model.onnx", ("model.onnx", 0, 10))
    assert list(layout(storage.find("/engine/b/model.onnx"))) == ["model.onnx"]


def test_a_cache_of_links_is_packaged_as_the_files_it_stands_for(storage: Storage) -> None:
    storage.put("hub/blobs/1", b"weights")
    (storage.root / "hub/snapshots/x").mkdir(parents=True)
    (storage.root / "hub/snapshots/x/model.safetensors").symlink_to("../../blobs/1")
    source = storage.find("/engine/hub/snapshots/x", "HfModel")
    assert [(file.relative, file.size) for file in source.files] == [("model.safetensors", 7)]
