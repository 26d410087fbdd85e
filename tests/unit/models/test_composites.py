"""Models made of several, and generative ones, laid out as in a package and opened from there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.models import ROOT, outputs, packed, save, save_ep_context

from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.footprint import ModelConfig
from packhouse.worker.models.source import ModelSource, SourceKind, find
from packhouse.worker.models.source_composite import folder_name

if TYPE_CHECKING:
    from unit.models.conftest import Storage


def onnx(path: str, **config: Any) -> dict[str, Any]:
    return {"type": "ONNXModel", "config": {"model_path": path, **config}}


def composite(*components: dict[str, Any], names: list[str] | None = None, **config: Any) -> ModelConfig:
    named = {} if names is None else {"model_component_names": names}
    return described("CompositeModel", model_components=list(components), **named, **config)


def described(kind: str, **config: Any) -> ModelConfig:
    return ModelConfig(type=kind, config=config)


def found(storage: Storage, model: ModelConfig) -> ModelSource:
    return find(model, storage.locate, storage.storage)


def pack(storage: Storage, model: ModelConfig, package: Path) -> dict[str, Any]:
    written = packed(model, lambda each: found(storage, each), package, directories=("/engine",))
    assert "/engine" not in json.dumps(written)
    return written["config"]


def configs(config: dict[str, Any]) -> list[dict[str, Any]]:
    return [component["config"] for component in config["model_components"]]


def genai(*steps: tuple[str, str], filename: str | None = None) -> bytes:
    decoder: dict[str, Any] = {"head_size": 64, "sliding": 1e-06}
    if filename is not None:
        decoder["filename"] = filename
    if steps:
        decoder["pipeline"] = [{name: {"filename": file, "inputs": ["x"]} for name, file in steps}]
    return json.dumps({"model": {"type": "phi", "decoder": decoder}, "search": {"top_p": 0.9}}).encode()


def test_components_lie_in_folders_of_their_own_and_run_from_the_package(storage: Storage, tmp_path: Path) -> None:
    save(storage.root / "a" / "encoder.onnx", external="w.bin")
    save(storage.root / "b" / "out" / "net.onnx", many=True, seed=1)
    settings = {"execution_provider": ["CPUExecutionProvider"]}
    model = composite(
        onnx("/engine/a/encoder.onnx", inference_settings=settings),
        onnx("/engine/b/out", onnx_file_name="net.onnx"),
        names=["encoder", "decoder with past"],
    )
    config = pack(storage, model, tmp_path / "package")
    assert config["model_component_names"] == ["encoder", "decoder with past"]
    first, second = configs(config)
    assert first == {"model_path": f"{ROOT}/encoder/model.onnx", "inference_settings": settings}
    assert second == {"model_path": f"{ROOT}/decoder_with_past/model.onnx", "onnx_file_name": "model.onnx"}
    for seed, each in enumerate((first, second)):
        assert outputs(tmp_path / "package" / each["model_path"]) == outputs(
            save(tmp_path / "expected.onnx", seed=seed)
        )
    source = found(storage, model)
    assert (source.kind, source.main) == (SourceKind.COMPOSITE, "")
    assert [(each.main, each.component) for each in source.onnx_models] == [
        ("encoder/model.onnx", "encoder"),
        ("decoder_with_past/model.onnx", "decoder with past"),
    ]
    assert [each.config_in(model).get("inference_settings") for each in source.onnx_models] == [settings, None]


def test_components_that_share_a_folder_stay_together_and_share_their_data_once(
    storage: Storage, tmp_path: Path
) -> None:
    save_ep_context(storage.root / "out" / "context.onnx", "shared.bin")
    save_ep_context(storage.root / "out" / "iterator.onnx", "shared.bin")
    save(storage.root / "out" / "head.onnx")
    storage.put("out/shared.bin")
    storage.put("out/tokenizer.json")
    steps = ("context", "context.onnx"), ("iterator", "iterator.onnx"), ("head", "head.onnx")
    storage.put("out/genai_config.json", genai(*steps))
    names = ["context", "iterator", "head"]
    parts = [onnx("/engine/out", onnx_file_name=f"{name}.onnx") for name in names]
    attributes = {"additional_files": ["/engine/out/genai_config.json", "/engine/out/tokenizer.json"]}
    model = composite(*parts, names=names, model_attributes=attributes)
    for variant in (model, composite(*parts, names=names, model_attributes=attributes, model_path="/engine/out")):
        package = tmp_path / str(len(variant.config))
        config = pack(storage, variant, package)
        assert [each["model_path"] for each in configs(config)] == [ROOT] * 3
        assert [each["onnx_file_name"] for each in configs(config)] == [f"{name}.onnx" for name in names]
        assert config.get("model_path", ROOT) == ROOT
        assert config["model_attributes"]["additional_files"] == [
            f"{ROOT}/genai_config.json",
            f"{ROOT}/tokenizer.json",
        ]
        source = found(storage, variant)
        assert source.paths == [
            "context.onnx",
            "genai_config.json",
            "head.onnx",
            "iterator.onnx",
            "shared.bin",
            "tokenizer.json",
        ]
        assert source.generative
        assert source.made == ()
        assert [each.ep_contexts for each in source.onnx_models] == [("QNN",), ("QNN",), ()]
        assert (package / ROOT / "genai_config.json").read_bytes() == genai(*steps)
        assert outputs(package / ROOT / "head.onnx") == outputs(storage.root / "out" / "head.onnx")


def test_components_below_the_composites_own_folder_keep_their_places(storage: Storage, tmp_path: Path) -> None:
    save(storage.root / "out" / "vision" / "v.onnx", external="v.bin")
    save(storage.root / "out" / "text" / "t.onnx", seed=1)
    save(storage.root / "other" / "o.onnx", seed=2)
    config = pack(
        storage,
        composite(
            onnx("/engine/out/vision", onnx_file_name="v.onnx"),
            onnx("/engine/out/text/t.onnx"),
            onnx("/engine/other/o.onnx"),
            names=["vision", "text", "text"],
            model_path="/engine/out",
        ),
        tmp_path / "package",
    )
    assert config["model_path"] == ROOT
    vision, text, other = configs(config)
    assert vision == {"model_path": f"{ROOT}/vision", "onnx_file_name": "v.onnx"}
    assert text == {"model_path": f"{ROOT}/text/t.onnx"}
    assert other == {"model_path": f"{ROOT}/text_2/model.onnx"}
    for seed, path in enumerate([f"{ROOT}/vision/v.onnx", text["model_path"], other["model_path"]]):
        assert outputs(tmp_path / "package" / path) == outputs(save(tmp_path / "expected.onnx", seed=seed))


def test_composites_of_composites_and_of_other_kinds_are_laid_out_at_every_depth(
    storage: Storage, tmp_path: Path
) -> None:
    save(storage.root / "a.onnx")
    storage.put("hf/config.json")
    storage.put("ir/net.xml")
    storage.put("ir/net.bin")
    inner = composite(onnx("/engine/a.onnx"), {"type": "OpenVINOModel", "config": {"model_path": "/engine/ir"}})
    model = composite(
        {"type": "CompositeModel", "config": inner.config},
        {"type": "HfModel", "config": {"model_path": "/engine/hf"}},
        names=["onnx part", "torch"],
    )
    config = pack(storage, model, tmp_path / "package")
    nested, torch = configs(config)
    assert [each["model_path"] for each in configs(nested)] == [
        f"{ROOT}/onnx_part/component_0/model.onnx",
        f"{ROOT}/onnx_part/component_1",
    ]
    assert torch == {"model_path": f"{ROOT}/torch"}
    source = found(storage, model)
    assert source.paths == [
        "onnx_part/component_0/model.onnx",
        "onnx_part/component_1/net.bin",
        "onnx_part/component_1/net.xml",
        "torch/config.json",
    ]
    assert [each.component for each in source.onnx_models] == ["onnx part/component_0"]
    for _ in range(20):
        model = composite({"type": "CompositeModel", "config": model.config})
    with pytest.raises(PermanentError, match="nested"):
        found(storage, model)


def test_components_of_olive_0_6_are_named_in_themselves(storage: Storage, tmp_path: Path) -> None:
    storage.put("enc/weights.pt")
    storage.put("dec/weights.pt")
    parts = [
        {"name": name, "type": "PyTorchModel", "config": {"model_path": f"/engine/{name}"}} for name in ("enc", "dec")
    ]
    model = described("CompositePyTorchModel", model_path="llama_v2", model_components=parts)
    config = pack(storage, model, tmp_path / "package")
    assert [each["model_path"] for each in configs(config)] == [f"{ROOT}/enc", f"{ROOT}/dec"]
    assert config["model_path"] == "llama_v2"


def test_a_component_that_cannot_be_packaged_is_named(storage: Storage) -> None:
    save(storage.root / "a.onnx")
    model = composite(
        onnx("/engine/a.onnx"), {"type": "HfModel", "config": {"model_path": "org/m"}}, names=["a", "bert"]
    )
    with pytest.raises(PermanentError) as caught:
        found(storage, model)
    assert caught.value.code is ErrorCode.MODEL_TYPE_UNSUPPORTED
    assert "'bert'" in caught.value.message
    assert caught.value.field == "model_components.1.config.model_path"


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("encoder", "encoder"),
        ("a/b\\c:d", "a_b_c_d"),
        ("..", "component"),
        ("../../etc", "_.._etc"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("größe 1", "gr_e_1"),
        ("x" * 300, "x" * 100),
    ],
)
def test_a_components_name_becomes_a_name_that_every_system_takes(name: str, folder: str) -> None:
    assert folder_name(name) == folder


def test_the_config_of_a_generative_model_names_the_file_as_it_is_called_now(storage: Storage, tmp_path: Path) -> None:
    save(storage.root / "out" / "phi.onnx", external="phi.onnx.data")
    storage.put("out/genai_config.json", genai(filename="phi.onnx"))
    storage.put("out/tokenizer.json")
    by_folder = described("ONNXModel", model_path="/engine/out", onnx_file_name="phi.onnx")
    by_file = described("ONNXModel", model_path="/engine/out/phi.onnx")
    for at, model in enumerate((by_folder, by_file)):
        package = tmp_path / str(at)
        config = pack(storage, model, package)
        assert config["model_path"] == f"{ROOT}/model.onnx"
        written = json.loads((package / ROOT / "genai_config.json").read_text())
        assert written == json.loads(genai(filename="model.onnx"))
        assert outputs(package / config["model_path"]) == outputs(storage.root / "out" / "phi.onnx")
        source = found(storage, model)
        assert source.generative
        assert source.paths == ["genai_config.json", "model.onnx", "phi.onnx.data", "tokenizer.json"]


def test_other_parts_of_a_generative_model_keep_their_names(storage: Storage, tmp_path: Path) -> None:
    save(storage.root / "out" / "text.onnx", external="text.data")
    save(storage.root / "out" / "vision.onnx", external="vision.data", seed=1)
    storage.put("out/vision/processor.json")
    storage.put("out/genai_config.json", genai(("text", "text.onnx"), ("vision", "vision.onnx")))
    attributes = {"additional_files": ["/engine/out/genai_config.json"]}
    model = described("ONNXModel", model_path="/engine/out/text.onnx", model_attributes=attributes)
    config = pack(storage, model, tmp_path / "package")
    written = json.loads((tmp_path / "package" / ROOT / "genai_config.json").read_text())
    assert written == json.loads(genai(("text", "model.onnx"), ("vision", "vision.onnx")))
    assert config["model_attributes"]["additional_files"] == [f"{ROOT}/genai_config.json"]
    for name, of in (("model.onnx", "text.onnx"), ("vision.onnx", "vision.onnx")):
        assert outputs(tmp_path / "package" / ROOT / name) == outputs(storage.root / "out" / of)


def test_a_config_beside_the_model_brings_the_parts_that_it_names(storage: Storage, tmp_path: Path) -> None:
    save(storage.root / "model" / "text.onnx")
    save(storage.root / "genai" / "vision.onnx", external="vision.data", seed=1)
    storage.put("genai/genai_config.json", genai(("vision", "vision.onnx")))
    attributes = {"additional_files": ["/engine/genai/genai_config.json"]}
    model = described("ONNXModel", model_path="/engine/model/text.onnx", model_attributes=attributes)
    pack(storage, model, tmp_path / "package")
    assert found(storage, model).paths == ["genai_config.json", "model.onnx", "vision.data", "vision.onnx"]
    assert outputs(tmp_path / "package" / ROOT / "vision.onnx") == outputs(storage.root / "genai" / "vision.onnx")


def test_a_config_that_names_one_file_under_an_older_name_names_the_model(storage: Storage, tmp_path: Path) -> None:
    save(storage.root / "out" / "quantized.onnx")
    storage.put("out/genai_config.json", genai(filename="older.onnx"))
    model = described("ONNXModel", model_path="/engine/out", onnx_file_name="quantized.onnx")
    pack(storage, model, tmp_path / "package")
    written = json.loads((tmp_path / "package" / ROOT / "genai_config.json").read_text())
    assert written == json.loads(genai(filename="model.onnx"))


@pytest.mark.parametrize(
    ("config", "code"),
    [
        (genai(("a", "gone.onnx"), ("b", "out.onnx")), ErrorCode.MODEL_MISSING),
        (genai(filename="../secret.onnx"), ErrorCode.PATH_FORBIDDEN),
        (genai(filename="/etc/passwd"), ErrorCode.PATH_FORBIDDEN),
        (b"no JSON", ErrorCode.MODEL_UNREADABLE),
        (b"[" * 100_000 + b"]" * 100_000, ErrorCode.MODEL_UNREADABLE),
        (b"[" * 80 + b"]" * 80, ErrorCode.MODEL_UNREADABLE),
        (b'"' + b"x" * (5 << 20) + b'"', ErrorCode.MODEL_UNREADABLE),
    ],
)
def test_a_config_of_a_generative_model_that_leads_astray_is_refused(
    storage: Storage, config: bytes, code: ErrorCode
) -> None:
    save(storage.root / "out" / "m.onnx")
    storage.put("out/genai_config.json", config)
    with pytest.raises(PermanentError) as caught:
        storage.find("/engine/out", onnx_file_name="m.onnx")
    assert caught.value.code is code
    assert str(storage.root) not in caught.value.message
