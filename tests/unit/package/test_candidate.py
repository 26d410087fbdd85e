from __future__ import annotations

import json
import math
from typing import Any

import pytest

from packhouse.schemas.accelerator import Accelerator
from packhouse.schemas.events import FinishedRun
from packhouse.schemas.footprint import ModelConfig
from packhouse.schemas.ranking import RankedCandidate, Ranking
from packhouse.worker.models.source import ModelSource, SourceFile, SourceKind
from packhouse.worker.package.candidate import candidate_folder, candidates_of, default_prefix
from packhouse.worker.package.inference import inference_config
from packhouse.worker.package.jsontext import json_bytes
from packhouse.worker.package.layout import lay_out
from packhouse.worker.package.scrub import Scrubber
from packhouse.worker.package.tree import Made, ModelFile
from packhouse.worker.storage.location import Location

CPU = Accelerator.parse("cpu-cpu")
OPENVINO = Accelerator.parse("cpu-openvino")


@pytest.mark.parametrize(
    ("settings", "pairs"),
    [
        ({"execution_provider": ["A", "B"], "provider_options": [{"x": 1}, {}]}, [("A", {"x": 1}), ("B", {})]),
        ({"execution_provider": ["A", "B"], "provider_options": [{"x": 1}]}, [("A", {"x": 1}), ("B", {})]),
        ({"execution_provider": ["A"], "provider_options": None}, [("A", {})]),
        ({"execution_provider": [["A", {"x": 1}], ["B", {}]]}, [("A", {"x": 1}), ("B", {})]),
        ({"execution_provider": [["A", None], "B"]}, [("A", {}), ("B", {})]),
        ({"execution_provider": "A", "provider_options": {"x": 1}}, [("A", {"x": 1})]),
        ({"execution_provider": ["A", {"x": 1}]}, [("A", {"x": 1})]),
        ({"execution_provider": []}, [("OpenVINOExecutionProvider", {})]),
        ({"execution_provider": None}, [("OpenVINOExecutionProvider", {})]),
        ({}, [("OpenVINOExecutionProvider", {})]),
    ],
)
def test_providers_come_out_as_pairs_however_the_engine_wrote_them(settings: dict[str, Any], pairs: list[Any]) -> None:
    config = inference_config(settings, OPENVINO)
    assert config.execution_provider == pairs
    assert config.session_options == {}


def test_session_options_are_kept_as_they_are() -> None:
    options = {"execution_mode": 1, "extra_session_config": None}
    assert inference_config({"session_options": options}, CPU).session_options == options
    assert inference_config({"session_options": None}, CPU).session_options == {}


def test_json_is_indented_ends_with_a_line_feed_and_says_what_json_cannot() -> None:
    value = {"b": math.nan, "a": [math.inf, -math.inf, 1, 10**30, 0.1], "é": "\ud800"}
    text = json_bytes(value)
    assert text.startswith(b'{\n  "b": "NaN"')
    assert text.endswith(b"}\n")
    assert json.loads(text) == {"b": "NaN", "a": ["Infinity", "-Infinity", 1, 10**30, 0.1], "é": "\ud800"}
    assert "é".encode() in text


def event(config: dict[str, Any], **node: Any) -> tuple[FinishedRun, Ranking]:
    nodes = [
        {"model_id": "in"},
        {
            "model_id": "out",
            "parent_model_id": "in",
            "from_pass": "Quantize",
            "model": {"type": "ONNXModel", "config": config},
            **node,
        },
    ]
    run = FinishedRun.model_validate(
        {
            "engine": {"name": "olive"},
            "output_dir": "/e/out",
            "footprints": [{"accelerator": "cpu-cpu", "nodes": nodes}],
        }
    )
    place = RankedCandidate(rank=1, rank_in_accelerator=1, accelerator=CPU, model_id="out", reason="It is alone.")
    return run, Ranking(candidates=[place])


def source(main: str = "model.onnx") -> ModelSource:
    files = (SourceFile("model.onnx", Location("/w/m.onnx", "/e/m.onnx"), 10, "1"),)
    return ModelSource(SourceKind.ONNX_FILE, files, main, places=((("model_path",), main),))


@pytest.mark.parametrize(
    ("prefix", "path"), [("", "model.onnx"), ("CandidateModels/x/y", "CandidateModels/x/y/model.onnx")]
)
def test_a_folder_can_lie_anywhere_in_a_package_and_its_model_path_follows(prefix: str, path: str) -> None:
    run, ranking = event({"model_path": "/e/m.onnx", "onnx_file_name": None, "adapter_path": "/e/out/a"})
    [candidate] = candidates_of(run, ranking, lambda _: source())
    folder = candidate_folder(candidate, Scrubber(["/e/out"]), prefix)
    config = folder.rank_entry["model_config"]["config"]
    assert config == {"model_path": path, "onnx_file_name": None, "adapter_path": "<engine>/a"}
    assert folder.entries[path] == ModelFile(Location("/w/m.onnx", "/e/m.onnx"), 10, "1")
    assert len(folder.entries) == 5


def test_a_model_that_is_its_folder_is_named_by_the_folder() -> None:
    run, ranking = event({"model_path": "/e/m"})
    [candidate] = candidates_of(run, ranking, lambda _: source(main=""))
    paths = [
        candidate_folder(candidate, Scrubber([]), prefix).rank_entry["model_config"]["config"]["model_path"]
        for prefix in ("", "a/b")
    ]
    assert paths == [".", "a/b"]


def test_a_candidate_without_metrics_and_pass_config_has_nulls() -> None:
    run, ranking = event({"model_path": "/e/m.onnx"})
    [candidate] = candidates_of(run, ranking, lambda _: source())
    entries = candidate_folder(candidate, Scrubber([]), "").entries
    made = {path: json.loads(entry.data) for path, entry in entries.items() if isinstance(entry, Made)}
    assert made["configurations.json"] == {"in": None, "out": None}
    assert made["metrics.json"] == {"input_model_metrics": None, "candidate_model_metrics": None}
    assert made["inference_config.json"] == {
        "execution_provider": [["CPUExecutionProvider", {}]], "session_options": {},
    }  # fmt: skip


def test_models_that_are_described_alike_are_looked_for_once() -> None:
    run, ranking = event({"model_path": "/e/m.onnx"})
    asked: list[ModelConfig] = []

    def find(model: ModelConfig) -> ModelSource:
        asked.append(model)
        return source()

    twice = Ranking(candidates=[ranking.candidates[0]] * 2)
    assert len(list(candidates_of(run, twice, find))) == 2
    assert len(asked) == 1


def test_a_package_holds_the_candidates_the_ranks_and_every_other_part() -> None:
    run, ranking = event({"model_path": "/e/m.onnx"})
    [candidate] = candidates_of(run, ranking, lambda _: source())
    folder = candidate_folder(candidate, Scrubber([]), default_prefix(candidate.ranked))
    tree = lay_out([folder], {"SampleCode/python/run.py": Made(b"pass\n")})
    assert list(tree) == sorted([*folder.entries, "SampleCode/python/run.py", "models_rank.json"])
    ranks = tree["models_rank.json"]
    assert isinstance(ranks, Made)
    assert json.loads(ranks.data) == [folder.rank_entry]
