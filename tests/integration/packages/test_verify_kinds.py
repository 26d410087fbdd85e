"""``packhouse verify`` and the models that are not one ONNX file."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from support.models import model_of, save, save_ep_context, save_with_given_initializers
from support.verifying import Files, checks, failed, honest, packed, unpacked

FOLDER = "CandidateModels/cpu-cpu/BestCandidateModel_1"


def part(farm, path: Path, **config: Any) -> dict[str, Any]:
    return {"type": "ONNXModel", "config": {"model_path": farm.engine_path(path), **config}}


def composite(farm) -> dict[str, Any]:
    parts = [part(farm, save(farm.root / name / "m.onnx", external=f"{name}.bin")) for name in ("encoder", "decoder")]
    return {
        "type": "CompositeModel", "model_components": parts, "model_component_names": ["encoder", "decoder"],
    }  # fmt: skip


def openvino(farm) -> dict[str, Any]:
    folder = farm.root / "ir"
    folder.mkdir()
    (folder / "m.xml").write_text("<net/>")
    (folder / "m.bin").write_bytes(b"weights")
    return {"type": "OpenVINOModel", "model_path": farm.engine_path(folder)}


def generative(farm) -> dict[str, Any]:
    folder = save(farm.root / "genai" / "decoder.onnx", external="decoder.onnx.data").parent
    (folder / "tokenizer.json").write_text("{}")
    (folder / "genai_config.json").write_text(json.dumps({"model": {"decoder": {"filename": "decoder.onnx"}}}))
    return {"model_path": farm.engine_path(folder), "onnx_file_name": "decoder.onnx"}


def ep_context(farm) -> dict[str, Any]:
    path = save_ep_context(farm.root / "qnn" / "m.onnx", "m.qnn.bin")
    (path.parent / "m.qnn.bin").write_bytes(b"compiled")
    return {"model_path": farm.engine_path(path)}


def hugging_face(farm) -> dict[str, Any]:
    folder = farm.root / "hf"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return {"type": "HfModel", "model_path": farm.engine_path(folder)}


def given_initializers(farm) -> dict[str, Any]:
    path = save_with_given_initializers(farm.root / "given" / "m.onnx", "weights.npz")
    return {
        "model_path": farm.engine_path(path.parent), "onnx_file_name": "m.onnx",
        "external_initializers_file_name": "weights.npz",
    }  # fmt: skip


def constant_inputs(farm) -> dict[str, Any]:
    path = save(farm.root / "constant" / "m.onnx")
    np.savez(path.parent / "constant.npz", x=np.ones((1, 16), np.float32))
    return {
        "model_path": farm.engine_path(path.parent), "onnx_file_name": "m.onnx",
        "constant_inputs_file_name": "constant.npz",
    }  # fmt: skip


def test_a_package_with_every_kind_of_model_is_sound_and_what_is_not_loaded_is_told(farm) -> None:
    kinds = [composite, openvino, generative, ep_context, hugging_face, given_initializers, constant_inputs]
    path, _ = farm.pour(farm.made_up(*(make(farm) for make in kinds)))
    found = checks(path)
    assert failed(path) == {}
    assert found["ranks"]["message"].endswith(": 7 candidates")
    assert found["models"]["message"].endswith(": 5 models")
    folder = FOLDER[:-1]
    assert found["models"]["notes"] == [
        f"rank 4: {folder}4/model.onnx is not loaded: it was compiled for QNN",
        "rank 5: a model of type HfModel, which is not loaded",
    ]


@pytest.mark.parametrize(
    ("make", "lost", "words"),
    [
        (composite, "decoder/decoder.bin", "decoder.bin"),
        (composite, "encoder/model.onnx", "model_components.0.config.model_path"),
        (openvino, "m.bin", "m.bin"),
        (generative, "decoder.onnx.data", "decoder.onnx.data"),
        (ep_context, "m.qnn.bin", "m.qnn.bin"),
        (given_initializers, "weights.npz", "'weights.npz' (external_initializers_file_name)"),
        (constant_inputs, "constant.npz", "'constant.npz' (constant_inputs_file_name)"),
    ],
)
def test_a_file_that_a_model_of_any_kind_is_not_whole_without_is_named(farm, make, lost: str, words: str) -> None:
    path, _ = farm.pour(farm.made_up(make(farm)))
    files = unpacked(path)
    del files[f"{FOLDER}/{lost}"]
    for name in ("model_info.json",):
        info = json.loads(files[f"{FOLDER}/{name}"])
        info["files"].remove(lost)
        files[f"{FOLDER}/{name}"] = json.dumps(info).encode()
    findings = failed(packed(path, honest(files)))
    assert findings
    assert any(words in finding for each in findings.values() for finding in each), findings


def moved_into(files: Files, change: Any) -> Files:
    """The files with one change to the model config, in the rank file and in the folder's own document."""
    ranks, info = json.loads(files["models_rank.json"]), json.loads(files[f"{FOLDER}/model_info.json"])
    for config in (ranks[0]["model_config"]["config"], info["model_config"]["config"]):
        change(config)
    changed = {"models_rank.json": ranks, f"{FOLDER}/model_info.json": info}
    return honest({**files, **{path: json.dumps(value).encode() for path, value in changed.items()}})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda config: config["model_components"][0]["config"].update(model_path="/etc/passwd"), "'/etc/passwd'"),
        (lambda config: config["model_components"][0].pop("type"), "has no type and config"),
        (lambda config: config.update(model_components=[]), "none of its components"),
        (
            lambda config: config["model_components"][1]["config"].update(
                model_path="CandidateModels/cpu-cpu/BestCandidateModel_2/model.onnx"
            ),
            "in the folders of several candidates",
        ),
    ],
)  # fmt: skip
def test_components_that_lead_elsewhere_are_found(farm, change: Any, words: str) -> None:
    path, _ = farm.pour(farm.made_up(composite(farm)))
    findings = failed(packed(path, moved_into(unpacked(path), change)))
    assert any(words in finding for finding in findings["ranks"]), findings


def test_a_model_with_operators_that_are_not_here_is_told_of_and_no_fault(farm) -> None:
    extended = {"model_path": farm.engine_path(save(farm.root / "m.onnx")), "use_ort_extensions": True}
    node = helper.make_node("OnlyThere", ["x"], ["y"], domain="com.microsoft")
    elsewhere = farm.root / "dml.onnx"
    onnx.save_model(model_of([node], []), elsewhere)
    settings = {"execution_provider": ["DmlExecutionProvider"]}
    path, _ = farm.pour(
        farm.made_up(extended, {"model_path": farm.engine_path(elsewhere), "inference_settings": settings})
    )
    found = checks(path)["models"]
    if importlib.util.find_spec("onnxruntime_extensions") is None:
        assert found["state"] == "skipped"
        assert "onnxruntime-extensions, which the model needs" in found["message"]
    assert "OnlyThere" in found["message" if found["state"] == "skipped" else "notes"]
    assert failed(path) == {}


def test_the_same_operators_in_a_model_for_the_cpu_are_a_fault(farm) -> None:
    node = helper.make_node("OnlyThere", ["x"], ["y"], domain="com.microsoft")
    onnx.save_model(model_of([node], []), farm.root / "m.onnx")
    path, _ = farm.pour(farm.made_up({"model_path": farm.engine_path(farm.root / "m.onnx")}))
    assert "does not load on CPUExecutionProvider" in failed(path)["models"][0]
