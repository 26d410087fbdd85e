from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from packhouse.schemas.accelerator import Accelerator
from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.events import Engine, Package
from packhouse.schemas.footprint import Metric, ModelConfig, Node
from packhouse.schemas.ranking import RankedCandidate
from packhouse.worker.models.signature import MapType, SequenceType, Signature, TensorType, Value
from packhouse.worker.models.source import ModelSource, OnnxMain, SourceFile, SourceKind
from packhouse.worker.package.candidate import Candidate, candidate_folder
from packhouse.worker.package.mlflow import MLFLOW_FILES, mlflow_files
from packhouse.worker.package.scrub import Scrubber
from packhouse.worker.storage.location import Location

PREFIX = "CandidateModels/cpu-cpu/BestCandidateModel_1"
ENGINE = Engine(
    name="olive",
    runtime_packages=[Package(name="onnxruntime", version="1.18.1"), Package(name="onnxruntime-gpu", version="1.19.0")],
)
NAMES = ("MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt")


def tensor(element: str, *shape: int | str | None) -> TensorType:
    return TensorType(element, shape)


def signature(*types: Any) -> Signature:
    return Signature(tuple(Value(f"x{at}", each) for at, each in enumerate(types)), (Value("y", tensor("float", 1)),))


IMAGE = signature(tensor("float", "batch", 3, None, 224))


def candidate(*files: str, main: str = "model.onnx", type: str = "ONNXModel", **config: Any) -> Candidate:  # noqa: A002
    ranked = RankedCandidate(
        model_id="m1",
        accelerator=Accelerator.parse("cpu-cpu"),
        rank=1,
        rank_in_accelerator=1,
        reason="the best",
        goals_met=None,
        metrics={"latency-avg": Metric(value=1.5, priority=1, higher_is_better=False)},
    )
    kind = SourceKind.ONNX_FILE if type == "ONNXModel" else SourceKind.FOLDER
    sources = tuple(
        SourceFile(name, Location(f"/elsewhere/{name}", f"/srv/olive/{name}"), 10 * at, f"mark{at}")
        for at, name in enumerate(filter(None, [main, *files]), 1)
    )
    node = Node(model_id="m1", parent_model_id="in", from_pass="Quantize", end_time=1717243200.25)
    model = ModelConfig(type=type, config=config)
    return Candidate(ranked, model, (Node(model_id="in"), node), ModelSource(kind, sources, main))


def export(
    made_from: Candidate, said: Signature | None = IMAGE, engine: Engine = ENGINE, prefix: str = PREFIX
) -> dict[str, bytes]:
    folder = candidate_folder(made_from, Scrubber(["/srv/olive"]), prefix)
    return {path: made.data for path, made in mlflow_files(made_from, folder, said, engine).items()}


def mlmodel(made_from: Candidate, said: Signature | None = IMAGE, engine: Engine = ENGINE) -> dict[str, Any]:
    return json.loads(export(made_from, said, engine)[f"{PREFIX}/MLmodel"])


def settings(**inference: Any) -> dict[str, Any]:
    return mlmodel(candidate(inference_settings=inference))["flavors"]["onnx"]


def test_the_four_files_lie_in_the_folder_of_the_candidate() -> None:
    assert MLFLOW_FILES == NAMES
    assert list(export(candidate())) == [f"{PREFIX}/{name}" for name in NAMES]
    assert list(export(candidate(), prefix="")) == list(NAMES)


def test_mlmodel_names_the_model_both_ways_and_when_it_was_made() -> None:
    document = mlmodel(candidate("weights/net.bin"))
    onnx, pyfunc = document["flavors"]["onnx"], document["flavors"]["python_function"]
    assert onnx == {
        "code": None,
        "data": "model.onnx",
        "onnx_session_options": None,
        "providers": ["CPUExecutionProvider"],
    }
    assert (pyfunc["data"], pyfunc["loader_module"]) == ("model.onnx", "mlflow.onnx")
    assert set(pyfunc["env"].values()) < set(NAMES)
    assert document["utc_time_created"] == "2024-06-01 12:00:00.250000"
    assert document["model_size_bytes"] == 30
    assert len(bytes.fromhex(document["model_uuid"])) == 16


def test_the_bytes_depend_on_the_model_and_not_on_where_it_lies_or_goes() -> None:
    one = candidate("net.bin")
    moved = tuple(replace(file, location=Location("/other", "/srv/olive/x"), mark="later") for file in one.source.files)
    same = replace(one, source=replace(one.source, files=moved))
    assert export(one) == export(same)
    assert list(export(one).values()) == list(export(one, prefix="").values())
    assert mlmodel(one)["model_uuid"] != mlmodel(candidate("net.data", "more"))["model_uuid"]


def test_a_time_that_is_none_is_left_out() -> None:
    one = candidate()
    for end in (None, 1e300, float("nan")):
        lineage = (one.lineage[0], one.lineage[1].model_copy(update={"end_time": end}))
        assert "utc_time_created" not in mlmodel(replace(one, lineage=lineage))


def test_providers_are_the_candidates_own_with_their_options() -> None:
    onnx = settings(
        execution_provider=["CUDAExecutionProvider", "CPUExecutionProvider"],
        provider_options=[{"device_id": 0, "scale": 0.5, "none": None, "deep": {"a": 1}, "long" * 400: 1}, {}],
    )
    assert onnx["providers"] == [["CUDAExecutionProvider", {"device_id": 0, "scale": "0.5"}], "CPUExecutionProvider"]


@pytest.mark.parametrize(
    ("given", "understood"),
    [
        ({}, None),
        ({"intra_op_num_threads": 2, "inter_op_num_threads": 0}, {"intra_op_num_threads": 2}),
        ({"intra_op_num_threads": True, "inter_op_num_threads": "4"}, None),
        ({"execution_mode": 1}, {"execution_mode": "PARALLEL"}),
        ({"execution_mode": "ORT_SEQUENTIAL"}, {"execution_mode": "SEQUENTIAL"}),
        ({"execution_mode": 7, "graph_optimization_level": 50}, None),
        ({"graph_optimization_level": 99}, {"graph_optimization_level": 99}),
        ({"graph_optimization_level": "ORT_ENABLE_BASIC"}, {"graph_optimization_level": 1}),
        ({"extra_session_config": {"session.a": True, "b": "x", "c": None}},
         {"extra_session_config": {"session.a": "1", "b": "x"}}),
        ({"extra_session_config": {"ep.context_enable": 1, "ep.context_file_path": "/etc/cron.d/x", "session.a": "0"}},
         {"extra_session_config": {"session.a": "0"}}),
        ({"extra_session_config": {"session.collect_node_memory_stats_to_file": "/x",
                                   "session.optimized_model_external_initializers_file_name": "x"}}, None),
        ({"extra_session_config": None, "optimized_model_filepath": "/srv/x.onnx", "log_id": "x"}, None),
    ],
)  # fmt: skip
def test_session_options_are_those_that_mlflow_sets(given: dict[str, Any], understood: dict[str, Any] | None) -> None:
    assert settings(session_options=given)["onnx_session_options"] == understood


def test_the_engines_directories_are_not_told() -> None:
    files = export(candidate(inference_settings={
        "execution_provider": ["OpenVINOExecutionProvider"],
        "provider_options": [{"cache_dir": "/srv/olive/cache"}],
        "session_options": {"extra_session_config": {"file": "/srv/olive/x"}},
    }))  # fmt: skip
    assert b"cache_dir" in files[f"{PREFIX}/MLmodel"]
    assert not any(b"/srv/olive" in data for data in files.values())


def test_hostile_names_stay_inside_their_strings() -> None:
    nasty = 'a": {}\n- b: !!python/object:os.system\x00\x7f\x85\u2028\ufeff\U0001f600 #'
    said = Signature((Value(nasty, tensor("float", nasty)),), ())
    made_from = candidate(inference_settings={"execution_provider": [nasty], "provider_options": [{nasty: nasty}]})
    text = export(made_from, said)[f"{PREFIX}/MLmodel"].decode()
    assert not any(character in text for character in "\x00\x7f\x85\u2028\ufeff")
    document = json.loads(text)
    assert document["flavors"]["onnx"]["providers"] == [[nasty, {nasty: nasty}]]
    assert json.loads(document["signature"]["inputs"])[0]["name"] == nasty


def test_the_signature_says_types_and_shapes_with_a_minus_for_what_is_not_fixed() -> None:
    said = mlmodel(candidate())["signature"]
    spec = {"dtype": "float32", "shape": [-1, 3, -1, 224]}
    assert json.loads(said["inputs"]) == [{"name": "x0", "type": "tensor", "tensor-spec": spec}]
    assert json.loads(said["outputs"])[0]["tensor-spec"] == {"dtype": "float32", "shape": [1]}
    scalar = mlmodel(candidate(), signature(tensor("int64"), tensor("string", None)))["signature"]
    assert [each["tensor-spec"] for each in json.loads(scalar["inputs"])] == [
        {"dtype": "int64", "shape": []},
        {"dtype": "str", "shape": [-1]},
    ]


@pytest.mark.parametrize(
    "beyond",
    [
        TensorType("float", None),
        tensor("bfloat16", 1),
        SequenceType(tensor("float", 1)),
        MapType("int64", tensor("float")),
    ],
)
def test_a_side_that_mlflow_has_no_words_for_is_left_out_whole(beyond: Any) -> None:
    said = mlmodel(candidate(), signature(tensor("float", 1), beyond))["signature"]
    assert said["inputs"] is None
    assert json.loads(said["outputs"])
    values = Signature((Value("x", beyond),), (Value("y", beyond),))
    assert "signature" not in mlmodel(candidate(), values)
    assert "signature" not in mlmodel(candidate(), None)


@pytest.mark.parametrize(
    ("provider", "packages", "wanted"),
    [
        ("CPUExecutionProvider", {"onnxruntime": "1.20.1", "onnx": "1.17.0"},
         ["mlflow>=2.4", "onnx==1.17.0", "onnxruntime==1.20.1"]),
        ("CPUExecutionProvider", {"onnxruntime": "1.18.1"}, ["mlflow>=2.4", "numpy<2", "onnx", "onnxruntime==1.18.1"]),
        ("CUDAExecutionProvider", {"onnxruntime": "1.20.1", "onnxruntime-gpu": "1.19.0"},
         ["mlflow>=3.16", "onnx", "onnxruntime-gpu==1.19.0"]),
        ("CUDAExecutionProvider", {"onnxruntime": "1.20.1"}, ["mlflow>=3.16", "onnx", "onnxruntime-gpu"]),
        ("CPUExecutionProvider", {"onnxruntime-gpu": "1.20.1", "torch": "2.3"},
         ["mlflow>=2.4", "onnx", "onnxruntime-gpu==1.20.1"]),
        ("evil; import os", {"evil": "1"}, ["mlflow>=3.16", "onnx", "onnxruntime"]),
    ],
)  # fmt: skip
def test_the_environment_holds_the_runtime_that_the_engine_had(
    provider: str, packages: dict[str, str], wanted: list[str]
) -> None:
    engine = Engine(name="olive", runtime_packages=[Package(name=name, version=v) for name, v in packages.items()])
    files = export(candidate(inference_settings={"execution_provider": [provider]}), engine=engine)
    assert files[f"{PREFIX}/requirements.txt"].decode().splitlines() == wanted
    assert json.loads(files[f"{PREFIX}/conda.yaml"])["dependencies"][-1] == {"pip": wanted}
    assert json.loads(files[f"{PREFIX}/python_env.yaml"])["dependencies"] == ["-r requirements.txt"]


@pytest.mark.parametrize("versions", [["1.20.1", "1.21.0"], ["nightly"]])
def test_what_is_no_one_version_pins_nothing(versions: list[str]) -> None:
    engine = Engine(name="olive", runtime_packages=[Package(name="ONNXRuntime", version=each) for each in versions])
    files = export(candidate(), engine=engine)
    assert files[f"{PREFIX}/requirements.txt"].decode().splitlines() == ["mlflow>=2.4", "onnx", "onnxruntime"]


def test_options_of_a_provider_want_an_mlflow_that_hands_them_on() -> None:
    inference = {"execution_provider": ["CPUExecutionProvider"], "provider_options": [{"use_arena": "1"}]}
    files = export(candidate(inference_settings=inference))
    assert b"mlflow>=3.16\n" in files[f"{PREFIX}/requirements.txt"]


def test_a_model_in_a_folder_below_has_an_mlmodel_beside_it_too() -> None:
    files = export(candidate(main="onnx/model.onnx"))
    assert sorted(files) == sorted(f"{PREFIX}/{name}" for name in (*NAMES, "onnx/MLmodel"))
    root, beside = (json.loads(files[f"{PREFIX}/{name}"])["flavors"] for name in ("MLmodel", "onnx/MLmodel"))
    assert (root["onnx"]["data"], root["python_function"]["data"]) == ("onnx/model.onnx", "onnx/model.onnx")
    assert (beside["onnx"]["data"], beside["python_function"]["data"]) == ("model.onnx", "model.onnx")


@pytest.mark.parametrize(
    ("made_from", "words"),
    [
        (candidate(main="", type="OpenVINOModel"), "OpenVINOModel"),
        (candidate(main="", type="CompositeModel"), "CompositeModel"),
        (candidate(use_ort_extensions=True), "onnxruntime-extensions"),
    ],
)
def test_what_mlflow_could_not_open_is_refused_by_name(made_from: Candidate, words: str) -> None:
    with pytest.raises(PermanentError, match=words) as caught:
        export(made_from)
    assert caught.value.code is ErrorCode.MLFLOW_UNSUPPORTED
    assert "'m1'" in caught.value.message
    assert "export_in_mlflow_format" in caught.value.fix


def test_initializers_of_a_file_of_their_own_and_a_model_without_inputs_are_refused() -> None:
    one = candidate("init.onnx_data")
    beside = replace(one.source, onnx_models=(OnnxMain("model.onnx", external_initializers="init.onnx_data"),))
    with pytest.raises(PermanentError, match="initializers"):
        export(replace(one, source=beside))
    with pytest.raises(PermanentError, match="no inputs"):
        export(one, Signature((), (Value("y", tensor("float", 1)),)))


@pytest.mark.parametrize("name", ["MLmodel", "mlmodel", "requirements.txt", "Conda.yaml", "python_env.yaml/x"])
def test_a_file_of_the_model_with_such_a_name_is_a_conflict(name: str) -> None:
    with pytest.raises(PermanentError, match=name.split("/", maxsplit=1)[0]) as caught:
        export(candidate(name))
    assert caught.value.code is ErrorCode.LAYOUT_CONFLICT
