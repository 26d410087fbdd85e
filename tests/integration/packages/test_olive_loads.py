"""Microsoft Olive opens what was packaged with its own ``ModelConfig``, each version in an environment of its own."""

from __future__ import annotations

import json
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
from support.models import save, save_with_given_initializers
from support.olive import VERSIONS, loaded, olive

from packhouse.schemas.events import FinishedRun

pytestmark = pytest.mark.full

_SAVES_A_MODEL = """
import sys
from transformers import BertConfig, BertModel
BertModel(BertConfig(vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
          ).save_pretrained(sys.argv[1])
"""


def unpacked(farm: Any, event: FinishedRun) -> tuple[Path, list[dict[str, Any]]]:
    """The package of a run, unpacked away from the engine's files, and the models of its rank file."""
    path, _ = farm.pour(event)
    package = farm.root.parent / "unpacked"
    with zipfile.ZipFile(path) as archive:
        archive.extractall(package)
    farm.root.rename(farm.root.parent / "gone")
    ranks = json.loads((package / "models_rank.json").read_text())
    return package, [entry["model_config"] for entry in ranks]


@pytest.mark.parametrize(
    ("version", "sample", "models"),
    [("0.6.2", "olive-0.6.2-cpu-and-openvino", 3), ("0.13.0", "olive-0.13.0-search", 5)],
)
def test_olive_opens_every_model_of_a_real_run(farm, version: str, sample: str, models: int) -> None:
    package, configs = unpacked(farm, farm.sample(sample))
    assert loaded(version, package, configs) == [["logits"]] * models


@pytest.mark.parametrize("version", VERSIONS)
def test_olive_opens_models_of_every_kind(farm, version: str) -> None:
    root = farm.root
    save(root / "beside" / "net.onnx", external="weights/net.bin")
    save(root / "folder" / "net.onnx", many=True)
    save(root / "shared" / "one.onnx", external="shared.bin")
    save(root / "shared" / "two.onnx")
    save_with_given_initializers(root / "given" / "net.onnx", "adapter.npz")
    torch = "PyTorchModel" if version == "0.6.2" else "HfModel"
    hf = {"model_path": farm.engine_path(root / "hf")}
    if version == "0.6.2":
        hf |= {"hf_config": {"task": "feature-extraction"}}
    subprocess.run([str(olive(version)), "-c", _SAVES_A_MODEL, str(root / "hf")], check=True, timeout=300)
    (root / "ir").mkdir()
    (root / "ir" / "net.xml").write_text("<net/>")
    (root / "ir" / "net.bin").write_bytes(b"weights")

    def onnx(path: str, **config: Any) -> dict[str, Any]:
        return {"type": "ONNXModel", "config": {"model_path": farm.engine_path(root / path), **config}}

    apart = [onnx("beside/net.onnx"), onnx("folder", onnx_file_name="net.onnx")]
    together = [onnx("shared", onnx_file_name=f"{name}.onnx") for name in ("one", "two")]
    names = {"model_component_names": ["first", "second"]}
    package, configs = unpacked(
        farm,
        farm.made_up(
            onnx("beside/net.onnx")["config"],
            onnx("folder", onnx_file_name="net.onnx")["config"],
            onnx("given", onnx_file_name="net.onnx", external_initializers_file_name="adapter.npz")["config"],
            {"type": "CompositeModel", "model_components": apart, **names},
            {"type": "CompositeModel", "model_components": together, **names},
            {"type": torch, **hf},
            {"type": "OpenVINOModel", "model_path": farm.engine_path(root / "ir" / "net.xml")},
        ),
    )
    parts = {"first": ["y"], "second": ["y"]}
    assert loaded(version, package, configs) == [
        ["y"],
        ["y"],
        ["y"],
        parts,
        parts,
        "PyTorchModelHandler" if version == "0.6.2" else "HfModelHandler",
        "OpenVINOModelHandler",
    ]
