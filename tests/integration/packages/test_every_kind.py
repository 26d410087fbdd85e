"""A package with a candidate of every kind is made, is the same when made again, and is found sound."""

from __future__ import annotations

import json
import zipfile
from typing import Any

import pytest
from support.models import save, save_ep_context, save_with_given_initializers
from support.verifying import checks, failed

from packhouse.schemas.errors import ErrorCode, PermanentError

MLFLOW = {"type": "Zipfile", "name": "Flow", "config": {"export_in_mlflow_format": True}}


def every_kind(farm: Any) -> list[dict[str, Any]]:
    root = farm.root
    save(root / "file.onnx", external="data/file.bin")
    save(root / "folder" / "net.onnx", many=True, seed=1)
    save_with_given_initializers(root / "given" / "net.onnx", "given.npz")
    save_ep_context(root / "compiled" / "net.onnx", "net_qnn.bin")
    save(root / "phi" / "phi.onnx", external="phi.data", seed=2)
    for relative, data in {
        "compiled/net_qnn.bin": b"compiled",
        "phi/genai_config.json": json.dumps(
            {"model": {"decoder": {"filename": "phi.onnx"}}, "at": "/srv/olive/x"}
        ).encode(),
        "phi/tokenizer.json": b"{}",
        "ir/net.xml": b"<net/>",
        "ir/net.bin": b"weights",
        "hf/config.json": b"{}",
        "lora/adapter.bin": b"adapter",
    }.items():
        (root / relative).parent.mkdir(exist_ok=True)
        (root / relative).write_bytes(data)

    def at(relative: str) -> str:
        return str(farm.engine_path(root / relative))

    parts = [
        {"type": "ONNXModel", "config": {"model_path": at("file.onnx")}},
        {"type": "onnxmodel", "config": {"model_path": at("folder"), "onnx_file_name": "net.onnx"}},
    ]
    shared = [{"type": "ONNXModel", "config": {"model_path": at("phi"), "onnx_file_name": "phi.onnx"}}] * 2
    names = {"model_component_names": ["encoder", "decoder"]}
    return [
        {"model_path": at("file.onnx")},
        {"model_path": at("folder"), "onnx_file_name": "net.onnx"},
        {"model_path": at("given"), "external_initializers_file_name": "given.npz"},
        {"model_path": at("compiled/net.onnx")},
        {"model_path": at("phi"), "model_attributes": {"additional_files": [at("phi/tokenizer.json")]}},
        {"type": "CompositeModel", "model_components": parts, **names},
        {"type": "CompositeModel", "model_components": shared, **names},
        {"type": "OpenVINOModel", "model_path": at("ir/net.xml")},
        {"type": "HfModel", "model_path": at("hf"), "adapter_path": at("lora")},
    ]


def test_a_package_of_every_kind_is_sound_and_the_same_each_time(farm) -> None:
    event = farm.made_up(*every_kind(farm))
    path, first = farm.pour(event)
    before = path.read_bytes()
    path, second = farm.pour(event)
    assert first.digest == second.digest
    assert path.read_bytes() == before
    assert failed(path) == {}


def test_a_package_in_the_mlflow_format_is_sound(farm) -> None:
    models = [
        each
        for each in every_kind(farm)
        if each.get("type", "ONNXModel") == "ONNXModel" and "external_initializers_file_name" not in each
    ]
    path, poured = farm.pour(farm.made_up(*models, packages=[MLFLOW]))
    assert failed(path) == {}
    assert checks(path)["mlflow"]["state"] == "ok"
    with zipfile.ZipFile(path) as archive:
        for folder in poured.models:
            assert "python_function" in json.loads(archive.read(f"{folder}/MLmodel"))["flavors"]


def test_what_mlflow_could_not_open_is_refused_by_its_name(farm) -> None:
    (composite, *_) = [each for each in every_kind(farm) if each.get("type") == "CompositeModel"]
    with pytest.raises(PermanentError) as refused:
        farm.pour(farm.made_up(composite, packages=[MLFLOW]))
    assert refused.value.code is ErrorCode.MLFLOW_UNSUPPORTED
    assert "'m0'" in refused.value.message


def test_no_json_that_was_written_tells_where_the_engine_had_the_models(farm) -> None:
    path, _ = farm.pour(farm.made_up(*every_kind(farm)))
    untouched = "CandidateModels/cpu-cpu/BestCandidateModel_7/genai_config.json"
    with zipfile.ZipFile(path) as archive:
        assert untouched in archive.namelist()
        for name in archive.namelist():
            if name.endswith(".json") and name != untouched:
                assert b"/srv/olive" not in archive.read(name), name
