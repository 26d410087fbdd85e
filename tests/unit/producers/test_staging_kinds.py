"""Models of several files and parts, staged, and then packaged from where they are staged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.models import ROOT, outputs, packed, save, save_ep_context, save_with_given_initializers

from packhouse.producers.staging import stage
from packhouse.schemas import ErrorCode, FinishedRun, PackhouseError
from packhouse.schemas.footprint import ModelConfig
from packhouse.worker.models.source import ModelSource, find
from packhouse.worker.storage.local import Roots
from packhouse.worker.storage.location import Location
from packhouse.worker.storage.storage import Storage


def run_with(*models: dict[str, Any]) -> FinishedRun:
    made = [
        {"model_id": f"m{at}", "parent_model_id": "in", "from_pass": "P", "is_output": True, "model": model}
        for at, model in enumerate(models)
    ]
    return FinishedRun.model_validate(
        {
            "engine": {"name": "olive"},
            "output_dir": "/out",
            "footprints": [{"accelerator": "cpu-cpu", "nodes": [{"model_id": "in"}, *made]}],
        }
    )


def staged(tmp_path: Path, model: dict[str, Any]) -> ModelConfig:
    """The model as the staged run describes it; staging again changes nothing, and the engine's files are gone."""
    run = run_with(model)
    once = stage(run, tmp_path / "stage")
    again = stage(run, tmp_path / "stage")
    assert once == again
    shutil.rmtree(tmp_path / "engine")
    found = once.footprints[0].nodes[1].model
    assert found is not None
    assert str(tmp_path / "engine") not in json.dumps(found.config)
    return found


def pack(tmp_path: Path, model: ModelConfig) -> dict[str, Any]:
    """The model packed from where it is staged."""

    def source(described: ModelConfig) -> ModelSource:
        return find(described, lambda path: Location(path, path), Storage(Roots([str(tmp_path / "stage")])))

    config = packed(model, source, tmp_path / "package", directories=(str(tmp_path / "stage"),))["config"]
    assert str(tmp_path) not in json.dumps(config)
    return config


def onnx(path: Path, **config: Any) -> dict[str, Any]:
    return {"type": "ONNXModel", "config": {"model_path": str(path), **config}}


def test_components_that_lie_apart_are_staged_and_packaged_apart(tmp_path: Path) -> None:
    engine = tmp_path / "engine"
    before = [
        outputs(save(engine / "a" / "net.onnx", external="net.bin")),
        outputs(save(engine / "b" / "net.onnx", seed=1)),
    ]
    parts = [onnx(engine / "a" / "net.onnx"), onnx(engine / "b", onnx_file_name="net.onnx")]
    nested = {"type": "CompositeModel", "config": {"model_components": parts, "model_component_names": ["x", "y"]}}
    model = staged(tmp_path, {"type": "CompositeModel", "config": {"model_components": [nested]}})
    config = pack(tmp_path, model)
    paths = [each["config"]["model_path"] for each in config["model_components"][0]["config"]["model_components"]]
    assert paths == [f"{ROOT}/component_0/x/model.onnx", f"{ROOT}/component_0/y/model.onnx"]
    assert [outputs(tmp_path / "package" / path) for path in paths] == before


@pytest.mark.parametrize("has_path", [True, False])
def test_components_that_share_a_folder_are_staged_once_and_stay_together(tmp_path: Path, has_path: bool) -> None:
    engine = tmp_path / "engine" / "out"
    save_ep_context(engine / "context.onnx", "shared.bin")
    save(engine / "head.onnx", external="shared.bin")
    genai = {
        "model": {"decoder": {"pipeline": [{"a": {"filename": "context.onnx"}}, {"b": {"filename": "head.onnx"}}]}}
    }
    (engine / "genai_config.json").write_text(json.dumps(genai))
    before = outputs(engine / "head.onnx")
    described: dict[str, Any] = {
        "model_components": [onnx(engine, onnx_file_name=name) for name in ("context.onnx", "head.onnx")],
        "model_component_names": ["context", "head"],
        "model_attributes": {"additional_files": [str(engine / "genai_config.json")]},
    }
    if has_path:
        described["model_path"] = str(engine)
    model = staged(tmp_path, {"type": "CompositeModel", "config": described})
    assert len([path for path in (tmp_path / "stage").iterdir() if path.is_dir()]) == 1
    config = pack(tmp_path, model)
    assert [each["config"]["model_path"] for each in config["model_components"]] == [ROOT, ROOT]
    assert config["model_attributes"] == {"additional_files": [f"{ROOT}/genai_config.json"]}
    assert json.loads((tmp_path / "package" / ROOT / "genai_config.json").read_text()) == genai
    assert outputs(tmp_path / "package" / ROOT / "head.onnx") == before


def test_components_below_the_composites_folder_keep_their_places_in_it(tmp_path: Path) -> None:
    engine = tmp_path / "engine"
    save(engine / "out" / "vision" / "v.onnx")
    described = {
        "model_components": [onnx(engine / "out" / "vision", onnx_file_name="v.onnx")],
        "model_component_names": ["vision"],
        "model_path": str(engine / "out"),
    }
    config = pack(tmp_path, staged(tmp_path, {"type": "CompositeModel", "config": described}))
    assert config["model_path"] == ROOT
    assert config["model_components"][0]["config"]["model_path"] == f"{ROOT}/vision"


def test_a_generative_model_given_as_a_file_is_staged_with_its_folder(tmp_path: Path) -> None:
    engine = tmp_path / "engine"
    save(engine / "phi.onnx", external="phi.data")
    (engine / "genai_config.json").write_text('{"model": {"decoder": {"filename": "phi.onnx"}}}')
    (engine / "tokenizer.json").write_text("{}")
    pack(tmp_path, staged(tmp_path, onnx(engine / "phi.onnx")))
    folder = tmp_path / "package" / ROOT
    assert json.loads((folder / "genai_config.json").read_text()) == {"model": {"decoder": {"filename": "model.onnx"}}}
    assert (folder / "tokenizer.json").is_file()


def test_context_files_and_what_a_session_is_given_are_staged(tmp_path: Path) -> None:
    engine = tmp_path / "engine"
    save_ep_context(engine / "a" / "net.onnx", "net.xml", source="OpenVINOExecutionProvider")
    run = run_with(onnx(engine / "a" / "net.onnx"))
    for missing in ("net.bin", "net.xml"):
        with pytest.raises(PackhouseError) as caught:
            stage(run, tmp_path / "stage")
        assert caught.value.code is ErrorCode.EXTERNAL_DATA_MISSING
        assert missing in caught.value.message
        (engine / "a" / missing).write_bytes(b"data")
    save_with_given_initializers(engine / "b" / "net.onnx", "given.npz")
    again = stage(
        run_with(onnx(engine / "b" / "net.onnx", external_initializers_file_name="given.npz")), tmp_path / "s2"
    )
    model = again.footprints[0].nodes[1].model
    assert model is not None
    assert model.model_path is not None
    assert Path(model.model_path).with_name("given.npz").is_file()
    pack(tmp_path, staged(tmp_path, onnx(engine / "a" / "net.onnx")))
    assert (tmp_path / "package" / ROOT / "net.bin").read_bytes() == b"data"


def test_adapters_scripts_and_additional_files_are_staged_too(tmp_path: Path) -> None:
    engine = tmp_path / "engine"
    for name in ("hf/config.json", "hf/vocab.txt", "lora/adapter.bin", "code/load.py", "code/huge.csv", "other/t.json"):
        (engine / name).parent.mkdir(parents=True, exist_ok=True)
        (engine / name).write_text(name)
    described = {
        "model_path": str(engine / "hf"),
        "adapter_path": str(engine / "lora"),
        "script_dir": str(engine / "code"),
        "model_script": str(engine / "code" / "load.py"),
        "model_attributes": {"additional_files": [str(engine / "hf" / "vocab.txt"), str(engine / "other" / "t.json")]},
    }
    model = staged(tmp_path, {"type": "PyTorchModel", "config": described})
    assert not list((tmp_path / "stage").rglob("huge.csv"))
    config = pack(tmp_path, model)
    assert config == {
        "model_path": ROOT,
        "adapter_path": f"{ROOT}/adapter",
        "script_dir": f"{ROOT}/scripts",
        "model_script": f"{ROOT}/scripts/load.py",
        "model_attributes": {"additional_files": [f"{ROOT}/vocab.txt", f"{ROOT}/t.json"]},
    }


def test_what_a_config_names_and_is_not_there_is_said_by_name(tmp_path: Path) -> None:
    save(tmp_path / "net.onnx")
    attributes = {"additional_files": [str(tmp_path / "gone.json")]}
    for model, word in (
        (onnx(tmp_path / "net.onnx", model_attributes=attributes), "gone.json"),
        (onnx(tmp_path / "gone.onnx"), "gone.onnx"),
    ):
        with pytest.raises(PackhouseError) as caught:
            stage(run_with(model), tmp_path / "stage")
        assert caught.value.code is ErrorCode.MODEL_MISSING
        assert word in caught.value.message
    with pytest.raises(PackhouseError) as caught:
        stage(run_with({"type": "CompositeModel", "config": {"model_components": [{}]}}), tmp_path / "stage")
    assert caught.value.code is ErrorCode.MODEL_TYPE_UNSUPPORTED
