"""A real model of every kind, laid out as in a package, and opened from there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto
from support.models import (
    ROOT,
    outputs,
    packed,
    save,
    save_ep_context,
    save_with_given_initializers,
    two_layers,
)

from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.footprint import ModelConfig
from packhouse.worker.models.source import ModelSource, SourceKind, find

if TYPE_CHECKING:
    from unit.models.conftest import Storage


class Bench:
    """A storage root for the engine's files, and a package beside it."""

    def __init__(self, storage: Storage, package: Path) -> None:
        self.storage = storage
        self.engine = storage.root
        self.package = package

    @property
    def folder(self) -> Path:
        return self.package / ROOT

    def files(self) -> list[str]:
        """The model's files, as they lie in the candidate's folder."""
        ours = {"configurations.json", "inference_config.json", "metrics.json", "model_info.json"}
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return sorted({path.relative_to(self.folder).as_posix() for path in found} - ours)

    def pack(self, config: dict[str, Any], kind: str = "ONNXModel") -> dict[str, Any]:
        """Pack a model that the engine describes so; returns the config as the package has it."""
        model = ModelConfig.model_validate({"type": kind, "config": config})
        written = packed(model, self.found, self.package, directories=("/engine",))
        assert "/engine" not in json.dumps(written)
        info = json.loads((self.folder / "model_info.json").read_text())
        assert info["files"] == self.files()
        assert info["model_config"] == written
        return written["config"]

    def found(self, model: ModelConfig) -> ModelSource:
        return find(model, self.storage.locate, self.storage.storage)

    def refusal(self, config: dict[str, Any], kind: str = "ONNXModel") -> PermanentError:
        with pytest.raises(PermanentError) as caught:
            self.found(ModelConfig.model_validate({"type": kind, "config": config}))
        assert caught.value.fix
        assert str(self.engine) not in caught.value.message
        return caught.value


@pytest.fixture
def bench(storage: Storage, tmp_path: Path) -> Bench:
    return Bench(storage, tmp_path / "package")


def expected(tmp_path: Path, seed: int = 0) -> list[float]:
    return outputs(save(tmp_path / f"expected{seed}.onnx", seed=seed))


@pytest.mark.parametrize(
    ("how", "files"),
    [
        ({}, ["model.onnx"]),
        ({"external": "net.onnx.data"}, ["model.onnx", "net.onnx.data"]),
        ({"many": True}, ["b", "model.onnx", "w0", "w1"]),
        ({"external": "weights/deep/net.bin"}, ["model.onnx", "weights/deep/net.bin"]),
    ],
    ids=["one file", "data in one file that tensors share", "data in many files", "data in a folder below"],
)
@pytest.mark.parametrize("kind", ["ONNXModel", "onnxmodel", "OnnxModel"])
def test_an_onnx_file_runs_from_the_package(
    bench: Bench, tmp_path: Path, kind: str, how: dict[str, Any], files: list[str]
) -> None:
    save(bench.engine / "net.onnx", **how)
    config = bench.pack({"model_path": "/engine/net.onnx", "use_ort_extensions": True}, kind)
    assert config == {"model_path": f"{ROOT}/model.onnx", "use_ort_extensions": True}
    assert bench.files() == files
    assert outputs(bench.package / config["model_path"]) == expected(tmp_path)


@pytest.mark.parametrize("how", [{}, {"external": "net.onnx.data"}, {"many": True}])
def test_an_onnx_folder_runs_from_the_package_with_its_file_name_brought_along(
    bench: Bench, tmp_path: Path, how: dict[str, Any]
) -> None:
    save(bench.engine / "out" / "sub" / "net.onnx", **how)
    bench.storage.put("out/tokenizer.json")
    config = bench.pack({"model_path": "/engine/out", "onnx_file_name": "sub/net.onnx"})
    assert config == {"model_path": f"{ROOT}/sub/model.onnx", "onnx_file_name": "model.onnx"}
    assert "tokenizer.json" in bench.files()
    assert outputs(bench.package / config["model_path"]) == expected(tmp_path)


@pytest.mark.full
def test_more_than_two_gigabytes_of_external_data_run_from_the_package(bench: Bench, tmp_path: Path) -> None:
    path = save(bench.engine / "net.onnx", external="net.bin")
    before = (bench.engine / "net.bin").read_bytes()
    far = (2 << 30) + 4096
    model = two_layers()
    offset = far
    for tensor in model.graph.initializer:
        data = tensor.raw_data
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {"location": "net.bin", "offset": str(offset), "length": str(len(data))}.items():
            tensor.external_data.add(key=key, value=value)
        with (bench.engine / "net.bin").open("r+b") as file:
            file.seek(offset)
            file.write(data)
        offset += 4096
    path.write_bytes(model.SerializeToString())
    assert (bench.engine / "net.bin").stat().st_size > far > len(before)
    config = bench.pack({"model_path": "/engine/net.onnx"})
    assert outputs(bench.package / config["model_path"]) == expected(tmp_path)


@pytest.mark.parametrize("listed", [True, False], ids=["listed", "not listed"])
def test_initializers_beside_the_model_stay_where_olive_looks_for_them(bench: Bench, tmp_path: Path, listed) -> None:
    save_with_given_initializers(bench.engine / "out" / "net.onnx", "adapter_weights.npz")
    described: dict[str, Any] = {
        "model_path": "/engine/out",
        "onnx_file_name": "net.onnx",
        "external_initializers_file_name": "adapter_weights.npz",
        "model_attributes": {
            "external_initializers": {"w0": [[16, 16], "float32"]},
            "additional_files": ["/engine/out/adapter_weights.npz"],
        },
    }
    if not listed:
        del described["model_attributes"]["external_initializers"]
    config = bench.pack(described)
    assert config["model_path"] == ROOT
    assert config["onnx_file_name"] == "model.onnx"
    assert config["external_initializers_file_name"] == "adapter_weights.npz"
    assert config["model_attributes"]["additional_files"] == [f"{ROOT}/adapter_weights.npz"]
    options: Any = onnxruntime.SessionOptions()
    weights = np.load(bench.folder / "adapter_weights.npz")
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(weights[name]) for name in weights]
    options.add_external_initializers(list(weights), values)
    assert outputs(bench.folder / "model.onnx", options) == expected(tmp_path)
    [model] = bench.found(ModelConfig.model_validate({"type": "ONNXModel", "config": described})).onnx_models
    assert (model.external_initializers, model.constant_inputs) == ("adapter_weights.npz", None)


def test_tensors_that_are_not_given_beside_the_model_are_still_missed(bench: Bench) -> None:
    save_with_given_initializers(bench.engine / "out" / "net.onnx", "weights.npz")
    described: dict[str, Any] = {"model_path": "/engine/out", "external_initializers_file_name": "weights.npz"}
    described["model_attributes"] = {"external_initializers": {"another": []}}
    assert bench.refusal(described).code is ErrorCode.EXTERNAL_DATA_MISSING
    assert bench.refusal({"model_path": "/engine/out"}).code is ErrorCode.EXTERNAL_DATA_MISSING


def test_constant_inputs_of_a_model_given_as_a_file_travel_along(bench: Bench, tmp_path: Path) -> None:
    save(bench.engine / "net.onnx")
    bench.storage.put("adapters.safetensors")
    config = bench.pack({"model_path": "/engine/net.onnx", "constant_inputs_file_name": "adapters.safetensors"})
    assert bench.files() == ["adapters.safetensors", "model.onnx"]
    assert (config["model_path"], config["onnx_file_name"]) == (ROOT, "model.onnx")
    assert outputs(bench.folder / "model.onnx") == expected(tmp_path)


@pytest.mark.parametrize("name", ["../secret.npz", "/etc/passwd"])
def test_initializers_that_lie_outside_the_models_folder_are_forbidden(bench: Bench, name: str) -> None:
    save(bench.engine / "out" / "net.onnx")
    bench.storage.put("secret.npz")
    error = bench.refusal({"model_path": "/engine/out", "external_initializers_file_name": name})
    assert error.code is ErrorCode.PATH_FORBIDDEN


def test_the_context_file_of_a_compiled_model_travels_along(bench: Bench) -> None:
    save_ep_context(bench.engine / "net_ctx.onnx", "contexts/net_qnn.bin")
    bench.storage.put("contexts/net_qnn.bin", b"compiled")
    described = {"model_path": "/engine/net_ctx.onnx"}
    config = bench.pack(described)
    assert config == {"model_path": f"{ROOT}/model.onnx"}
    assert bench.files() == ["contexts/net_qnn.bin", "model.onnx"]
    source = bench.found(ModelConfig.model_validate({"type": "ONNXModel", "config": described}))
    assert source.has_ep_context
    assert source.onnx_models[0].ep_contexts == ("QNN",)


def test_a_context_of_openvino_brings_its_weights(bench: Bench) -> None:
    save_ep_context(bench.engine / "net.onnx", "net.xml", source="OpenVINOExecutionProvider")
    bench.storage.put("net.xml", b"<net/>")
    assert bench.refusal({"model_path": "/engine/net.onnx"}).code is ErrorCode.EXTERNAL_DATA_MISSING
    bench.storage.put("net.bin")
    bench.pack({"model_path": "/engine/net.onnx"})
    assert bench.files() == ["model.onnx", "net.bin", "net.xml"]


def test_a_context_in_the_model_itself_needs_no_file(bench: Bench) -> None:
    save_ep_context(bench.engine / "net.onnx", "x" * 100_000, embed=True)
    bench.pack({"model_path": "/engine/net.onnx"})
    assert bench.files() == ["model.onnx"]


@pytest.mark.parametrize(
    ("context", "code"),
    [
        ("gone.bin", ErrorCode.EXTERNAL_DATA_MISSING),
        ("../secret", ErrorCode.EXTERNAL_DATA_OUTSIDE),
        ("/etc/passwd", ErrorCode.EXTERNAL_DATA_OUTSIDE),
        ("..\\secret", ErrorCode.EXTERNAL_DATA_OUTSIDE),
    ],
)
def test_a_context_file_must_be_there_and_inside(bench: Bench, context: str, code: ErrorCode) -> None:
    bench.storage.put("secret")
    save_ep_context(bench.engine / "models" / "net.onnx", context)
    for path in ("/engine/models/net.onnx", "/engine/models"):
        error = bench.refusal({"model_path": path})
        assert error.code is code
        assert "models" in error.message


def test_both_files_of_an_openvino_model_travel_whether_its_file_or_its_folder_is_named(bench: Bench) -> None:
    bench.storage.put("ir/net.xml", b"<net/>")
    assert bench.refusal({"model_path": "/engine/ir/net.xml"}, "OpenVINOModel").code is ErrorCode.EXTERNAL_DATA_MISSING
    assert bench.refusal({"model_path": "/engine/ir"}, "openvinomodel").code is ErrorCode.EXTERNAL_DATA_MISSING
    bench.storage.put("ir/net.bin")
    for path in ("/engine/ir/net.xml", "/engine/ir"):
        assert bench.pack({"model_path": path}, "OpenVINOModel") == {"model_path": ROOT}
        assert bench.files() == ["net.bin", "net.xml"]
    bench.storage.put("empty/readme.txt")
    assert bench.refusal({"model_path": "/engine/empty"}, "OpenVINOModel").code is ErrorCode.MODEL_MISSING


def test_what_a_config_names_beside_the_model_travels_and_is_named_where_it_is_now(bench: Bench) -> None:
    bench.storage.put("hf/config.json")
    bench.storage.put("hf/model.safetensors")
    bench.storage.put("hf/vocab/merges.txt")
    bench.storage.put("lora/adapter_config.json")
    bench.storage.put("code/load.py")
    bench.storage.put("code/lib/layers.py")
    bench.storage.put("code/lib/__pycache__/layers.pyc")
    bench.storage.put("code/data.csv")
    bench.storage.put("elsewhere/tokenizer.json")
    config = bench.pack(
        {
            "model_path": {"type": "folder", "config": {"path": "/engine/hf"}},
            "adapter_path": "/engine/lora",
            "script_dir": "/engine/code",
            "model_script": "/engine/code/load.py",
            "model_loader": "load",
            "hf_config": {"model_name": "bert-tiny"},
            "model_attributes": {
                "additional_files": ["/engine/elsewhere/tokenizer.json", "/engine/hf/vocab/merges.txt"]
            },
        },
        "PyTorchModel",
    )
    assert config == {
        "model_path": ROOT,
        "adapter_path": f"{ROOT}/adapter",
        "script_dir": f"{ROOT}/scripts",
        "model_script": f"{ROOT}/scripts/load.py",
        "model_loader": "load",
        "hf_config": {"model_name": "bert-tiny"},
        "model_attributes": {"additional_files": [f"{ROOT}/tokenizer.json", f"{ROOT}/vocab/merges.txt"]},
    }
    assert bench.files() == [
        "adapter/adapter_config.json",
        "config.json",
        "model.safetensors",
        "scripts/lib/layers.py",
        "scripts/load.py",
        "tokenizer.json",
        "vocab/merges.txt",
    ]


def test_what_is_only_a_name_is_refused_by_that_name(bench: Bench) -> None:
    bench.storage.put("hf/config.json")
    save(bench.engine / "net.onnx")
    for config, kind, word in (
        ({"model_path": "microsoft/phi-2"}, "HfModel", "microsoft/phi-2"),
        ({"model_path": "/engine/hf", "adapter_path": "someone/lora"}, "HFModel", "someone/lora"),
        ({"model_path": {"type": "azureml_model", "config": {"name": "m"}}}, "ONNXModel", "azureml_model"),
        ({"model_path": None}, "PyTorchModel", "PyTorchModel"),
        ({"model_components": []}, "CompositeModel", "CompositeModel"),
        ({"model_components": [{"type": "ONNXModel"}]}, "CompositeModel", "model_components.0"),
    ):
        error = bench.refusal(config, kind)
        assert error.code is ErrorCode.MODEL_TYPE_UNSUPPORTED
        assert word in error.message
        assert error.field
    described: dict[str, Any] = {"model_path": "/engine/net.onnx"}
    described["model_attributes"] = {"additional_files": ["/engine/gone.json"]}
    assert bench.refusal(described).code is ErrorCode.MODEL_MISSING
    described["model_attributes"] = {"additional_files": ["tokenizer.json"]}
    assert bench.refusal(described).code is ErrorCode.PATH_FORBIDDEN
    described["model_attributes"] = {"additional_files": ["/etc/passwd"]}
    assert bench.refusal(described).code is ErrorCode.PATH_FORBIDDEN


def test_a_distributed_model_is_packaged_with_every_rank(bench: Bench, tmp_path: Path) -> None:
    for rank in range(2):
        save(bench.engine / "out" / f"model_{rank:02d}.onnx", external=f"{rank}.bin", seed=rank)
    described = {"model_path": "/engine/out", "model_name_pattern": "model_{:02d}.onnx", "num_ranks": 2}
    config = bench.pack(described, "DistributedOnnxModel")
    assert config == {**described, "model_path": ROOT}
    for rank in range(2):
        assert outputs(bench.folder / f"model_{rank:02d}.onnx") == expected(tmp_path, rank)
    assert bench.refusal({**described, "num_ranks": 3}, "DistributedOnnxModel").code is ErrorCode.MODEL_MISSING


def test_an_onnx_model_tells_its_own_inference_settings(bench: Bench) -> None:
    save(bench.engine / "net.onnx")
    settings = {"execution_provider": ["CPUExecutionProvider"]}
    model = ModelConfig.model_validate(
        {"type": "ONNXModel", "config": {"model_path": "/engine/net.onnx", "inference_settings": settings}}
    )
    source = bench.found(model)
    assert source.kind is SourceKind.ONNX_FILE
    assert [each.config_in(model)["inference_settings"] for each in source.onnx_models] == [settings]
