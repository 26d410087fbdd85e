"""What ends up in a ZIP."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.files import Manifest
from packhouse.worker.packagers.zipfile import ZipfilePackager

SAMPLE = "olive-0.6.2-cpu-and-openvino"
SEARCH = "olive-0.13.0-search"
MODEL_FILES = {"configurations.json", "inference_config.json", "metrics.json", "model_info.json", "model.onnx"}
Model = Callable[..., Path]


def contents(package: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(package) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def document(files: dict[str, bytes], path: str) -> Any:
    return json.loads(files[path])


def test_a_real_run_for_two_accelerators_becomes_one_ranked_zip(farm) -> None:
    path, poured = farm.pour(farm.sample(SAMPLE))
    files = contents(path)
    folders = [
        "CandidateModels/cpu-cpu/BestCandidateModel_1",
        "CandidateModels/cpu-openvino/BestCandidateModel_1",
        "CandidateModels/cpu-openvino/BestCandidateModel_2",
    ]
    expected = {f"{folder}/{name}" for folder in folders for name in MODEL_FILES}
    inside = {name for name in files if name.startswith("CandidateModels/")}
    assert inside == expected
    assert {name for name in files if "/" not in name} == {"manifest.json", "models_rank.json", "report.html"}
    assert {name.split("/")[0] for name in files if "/" in name} == {"CandidateModels", "SampleCode"}
    assert {name.split("/")[1] for name in files if name.startswith("SampleCode/")} >= {"python", "cpp", "csharp"}
    assert path.with_name("Models.report.html").read_bytes() == files["report.html"]
    assert list(files) == sorted(files)
    ranks = document(files, "models_rank.json")
    assert [entry["rank"] for entry in ranks] == [1, 2, 3]
    assert [set(entry) for entry in ranks] == [{"rank", "model_config", "metrics"}] * 3
    for entry, folder in zip(ranks, poured.models, strict=True):
        config = entry["model_config"]["config"]
        assert config["model_path"] == f"{folder}/model.onnx"
        assert config["onnx_file_name"] is None
        assert document(files, f"{folder}/model_info.json")["rank"] == entry["rank"]
        assert document(files, f"{folder}/metrics.json")["candidate_model_metrics"] == entry["metrics"]
    assert sorted(poured.models) == folders
    assert poured.files == len(files)
    assert poured.bytes == path.stat().st_size
    assert poured.path == "/srv/olive/out/Models.zip"
    assert poured.replaced is None


def test_the_files_of_a_candidate_have_the_documented_form(farm) -> None:
    files = contents(farm.pour(farm.sample(SAMPLE))[0])
    folder = "CandidateModels/cpu-cpu/BestCandidateModel_1"
    configurations = document(files, f"{folder}/configurations.json")
    assert list(configurations) == [
        "ae6cc121", "4_OnnxDynamicQuantization-ae6cc121-35716dfd", "5_OrtPerfTuning-4-ddf5310f-cpu-cpu",
    ]  # fmt: skip
    assert configurations["ae6cc121"] is None
    assert configurations["5_OrtPerfTuning-4-ddf5310f-cpu-cpu"]["user_script"] == "<engine>/user_script.py"
    assert document(files, f"{folder}/inference_config.json") == {
        "execution_provider": [["CPUExecutionProvider", {}]],
        "session_options": {
            "execution_mode": 1, "graph_optimization_level": 99, "intra_op_num_threads": 2, "inter_op_num_threads": 1,
        },
    }  # fmt: skip
    metrics = document(files, f"{folder}/metrics.json")
    assert set(metrics) == {"input_model_metrics", "candidate_model_metrics"}
    assert metrics["input_model_metrics"]["latency-avg"] == {"value": 0.01651, "priority": 2, "higher_is_better": False}
    info = document(files, f"{folder}/model_info.json")
    assert info["files"] == ["model.onnx"]
    assert [step["from_pass"] for step in info["lineage"]] == [None, "OnnxDynamicQuantization", "OrtPerfTuning"]


def test_the_manifest_names_every_file_and_its_digest_is_the_packages(farm) -> None:
    path, poured = farm.pour(farm.sample(SEARCH))
    files = contents(path)
    manifest = Manifest.model_validate_json(files["manifest.json"])
    assert {file.path: (file.size, file.sha256) for file in manifest.files} == {
        name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in files.items() if name != "manifest.json"
    }
    assert poured.digest == "sha256:" + hashlib.sha256(files["manifest.json"]).hexdigest()
    assert len(manifest.left_out) == 39 - len(poured.models)
    assert manifest.run.id == "run-1"


@pytest.mark.parametrize("sample", [SAMPLE, SEARCH])
def test_no_directory_of_the_engine_or_of_the_worker_is_in_any_json(farm, sample: str) -> None:
    event = farm.sample(sample)
    undeclared = event.model_copy(update={"engine": event.engine.model_copy(update={"directories": []})})
    for run in (event, undeclared):
        for name, data in contents(farm.pour(run)[0]).items():
            if name.endswith(".json"):
                assert b"/srv/olive" not in data, name
                assert str(farm.root).encode() not in data, name


@pytest.mark.parametrize("sample", [SAMPLE, SEARCH])
def test_the_same_event_gives_the_same_bytes_on_another_worker(farm, sample: str, tmp_path: Path) -> None:
    first = farm.pour(farm.sample(sample))[0].read_bytes()
    elsewhere = type(farm)(tmp_path / "elsewhere")
    elsewhere.root.mkdir()
    elsewhere.token = "b2"
    path, _ = elsewhere.pour(elsewhere.sample(sample))
    assert path.read_bytes() == first
    again, poured = farm.pour(farm.sample(sample))
    assert again.read_bytes() == first
    assert poured.replaced is not None
    assert (poured.replaced.bytes, poured.replaced.digest) == (len(first), poured.digest)


def test_other_tools_are_content_with_the_zip(farm) -> None:
    path, _ = farm.pour(farm.sample(SAMPLE))
    unzip = shutil.which("unzip")
    assert unzip is not None, "make test installs unzip, or names it"
    subprocess.run([unzip, "-tqq", str(path)], check=True)


def test_two_packaging_configs_give_two_whole_zips(farm) -> None:
    event = farm.sample(SAMPLE, [{"type": "Zipfile", "name": "One"}, {"type": "Zipfile", "name": "Two"}])
    one, two = (contents(farm.pour(event, config)[0]) for config in event.packaging_config)
    named = {"manifest.json", "report.html"}
    assert {name: data for name, data in one.items() if name not in named} == {
        name: data for name, data in two.items() if name not in named
    }
    assert document(one, "manifest.json")["name"] == "One"
    assert document(two, "manifest.json")["name"] == "Two"


def test_candidates_that_share_a_model_file_each_have_it_digested_once(farm, model: Model, monkeypatch) -> None:
    shared = farm.engine_path(model(farm.root / "cache" / "shared.onnx"))
    event = farm.made_up({"model_path": shared}, {"model_path": shared, "inference_settings": {"x": 1}})
    known: list[bool] = []
    from packhouse.worker.storage.zip_writer import ZipWriter

    add_file = ZipWriter.add_file
    monkeypatch.setattr(
        ZipWriter, "add_file", lambda *args, **rest: known.append(rest["known"] is not None) or add_file(*args, **rest)
    )
    files = contents(farm.pour(event)[0])
    one, two = (files[f"CandidateModels/cpu-cpu/BestCandidateModel_{k}/model.onnx"] for k in (1, 2))
    assert one == two == (farm.root / "cache" / "shared.onnx").read_bytes()
    assert known == [False, True]


def test_external_data_beside_a_model_travels_under_the_name_that_the_graph_has(farm, model: Model) -> None:
    path = model(farm.root / "cache" / "net.onnx", external="weights/net.bin")
    (farm.root / "cache" / "unrelated.txt").write_text("not part of the model")
    zipped, poured = farm.pour(farm.made_up({"model_path": farm.engine_path(path)}))
    files = contents(zipped)
    folder = poured.models[0]
    inside = {name.removeprefix(folder + "/") for name in files if name.startswith(folder)}
    assert inside == MODEL_FILES | {"weights/net.bin"}
    assert files[f"{folder}/weights/net.bin"] == (farm.root / "cache/weights/net.bin").read_bytes()
    assert document(files, f"{folder}/model_info.json")["files"] == ["model.onnx", "weights/net.bin"]


def test_the_rank_entry_of_a_folder_model_names_the_file_that_is_there(farm, model: Model) -> None:
    folder = model(farm.root / "cache" / "m" / "net.onnx", external="net.data").parent
    (folder / "tokenizer.json").write_text("{}")
    event = farm.made_up({"model_path": farm.engine_path(folder), "onnx_file_name": "net.onnx"})
    zipped, poured = farm.pour(event)
    files = contents(zipped)
    config = document(files, "models_rank.json")[0]["model_config"]["config"]
    assert config["model_path"] == f"{poured.models[0]}/model.onnx"
    assert config["onnx_file_name"] == "model.onnx"
    info = document(files, f"{poured.models[0]}/model_info.json")
    assert info["files"] == ["model.onnx", "net.data", "tokenizer.json"]
    assert info["model_config"]["config"] == config


def test_a_model_of_another_format_travels_as_a_folder_without_an_inference_config(farm) -> None:
    folder = farm.root / "cache" / "ir"
    folder.mkdir(parents=True)
    (folder / "model.xml").write_text("<net/>")
    (folder / "model.bin").write_bytes(b"\0" * 100)
    event = farm.made_up({"type": "OpenVINOModel", "model_path": farm.engine_path(folder)})
    zipped, poured = farm.pour(event)
    files = contents(zipped)
    base = poured.models[0]
    assert document(files, "models_rank.json")[0]["model_config"]["config"]["model_path"] == base
    assert {name.removeprefix(base + "/") for name in files if name.startswith(base)} == {
        "configurations.json", "metrics.json", "model_info.json", "model.bin", "model.xml",
    }  # fmt: skip


def test_node_names_that_look_like_paths_stay_while_scripts_are_scrubbed(farm, model: Model) -> None:
    event = farm.made_up({"model_path": farm.engine_path(model(farm.root / "m.onnx"))})
    node = event.footprints[0].nodes[1]
    config = {"nodes_to_exclude": ["/srv/olive/MatMul", "/model/MatMul"], "user_script": "/srv/olive/a.py"}
    node = node.model_copy(update={"pass_run_config": config})
    footprint = event.footprints[0].model_copy(update={"nodes": [event.footprints[0].nodes[0], node]})
    event = event.model_copy(update={"footprints": [footprint]})
    zipped, poured = farm.pour(event)
    assert document(contents(zipped), f"{poured.models[0]}/configurations.json")["m0"] == {
        **config, "user_script": "<engine>/a.py",
    }  # fmt: skip


def test_metrics_that_json_cannot_say_are_words_and_missing_ones_nulls(farm, model: Model) -> None:
    event = farm.made_up({"model_path": farm.engine_path(model(farm.root / "m.onnx"))})
    raw = event.model_dump(mode="json", by_alias=True)
    raw["footprints"][0]["nodes"][0]["metrics"] = None
    raw["footprints"][0]["nodes"][1]["metrics"]["latency-avg"]["value"] = "NaN"
    zipped, poured = farm.pour(type(event).model_validate(raw))
    metrics = document(contents(zipped), f"{poured.models[0]}/metrics.json")
    assert metrics["input_model_metrics"] is None
    assert metrics["candidate_model_metrics"]["latency-avg"]["value"] == "NaN"


def test_a_file_that_was_there_is_replaced_and_named(farm) -> None:
    (farm.root / "out").mkdir()
    (farm.root / "out" / "Models.zip").write_bytes(b"something else")
    path, poured = farm.pour(farm.sample(SEARCH))
    assert zipfile.is_zipfile(path)
    assert poured.replaced is not None
    assert (poured.replaced.bytes, poured.replaced.digest) == (14, None)


def test_the_package_has_the_mode_of_a_persons_own_file_and_nothing_is_left_beside_it(farm) -> None:
    path, _ = farm.pour(farm.sample(SEARCH))
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask
    assert [each.name for each in sorted(path.parent.iterdir())] == ["Models.report.html", "Models.zip"]


def test_progress_adds_up_to_what_was_announced(farm) -> None:
    farm.pour(farm.sample(SAMPLE))
    (_, total), *_ = [stage for stage in farm.progress.stages if stage[0] == "writing"]
    assert farm.progress.done == total > 0


@pytest.mark.parametrize("when", ["between plan and pour", "while it is read"])
def test_a_model_that_changes_fails_the_package_and_leaves_nothing(farm, model: Model, when: str) -> None:
    source = model(farm.root / "m.onnx", size=1024)
    event = farm.made_up({"model_path": farm.engine_path(source)})
    job, packager = farm.job(event), ZipfilePackager()
    plan = packager.plan(job)

    def change() -> None:
        status = source.stat()
        os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000_000))

    if when == "between plan and pour":
        change()
    else:
        farm.progress.on_advance = change
    with pytest.raises(PermanentError) as caught:
        packager.pour(job, plan)
    assert caught.value.code is ErrorCode.MODEL_CHANGED
    assert "/srv/olive/m.onnx" in caught.value.message
    assert list((farm.root / "out").iterdir()) == []


def test_a_lease_that_is_lost_before_the_rename_publishes_nothing(farm) -> None:
    class Lost(Exception):
        pass

    def lost() -> None:
        raise Lost

    farm.progress.on_confirm = lost
    with pytest.raises(Lost):
        farm.pour(farm.sample(SEARCH))
    assert list((farm.root / "out").iterdir()) == []


def test_what_an_attempt_that_died_left_behind_is_discarded_and_other_files_are_not(farm) -> None:
    out = farm.root / "out"
    out.mkdir()
    mine, others = out / ".Models.zip.abcdef-0-dead1.partial", out / ".Models.zip.abcdef-1-alive.partial"
    mine.write_bytes(b"half")
    others.write_bytes(b"half")
    path, _ = farm.pour(farm.sample(SEARCH))
    assert {each.name for each in out.iterdir()} == {path.name, "Models.report.html", others.name}


def test_one_folder_by_two_names_is_one_destination(farm) -> None:
    event = farm.sample(SEARCH)
    (farm.root / "out").mkdir()
    (farm.root / "alias").symlink_to(farm.root / "out")
    aliased = event.model_copy(update={"output_dir": "/srv/olive/alias"})
    one, two = (ZipfilePackager().plan(farm.job(each)).destination for each in (event, aliased))
    assert one == two


def test_no_path_of_the_worker_is_in_the_plan_but_the_destination(farm) -> None:
    plan = ZipfilePackager().plan(farm.job(farm.sample(SAMPLE)))
    assert str(farm.root) not in plan.model_copy(update={"destination": ""}).model_dump_json()


def test_every_candidate_in_the_mlflow_format_is_a_folder_that_says_so(farm) -> None:
    event = farm.sample(SEARCH, [{"type": "Zipfile", "config": {"export_in_mlflow_format": True}}])
    path, poured = farm.pour(event)
    files = contents(path)
    assert poured.models
    for folder in poured.models:
        assert json.loads(files[f"{folder}/MLmodel"])["flavors"]["onnx"]["data"] == "model.onnx"
        assert f"{folder}/model.onnx" in files
        assert {f"{folder}/{name}" for name in ("conda.yaml", "python_env.yaml", "requirements.txt")} <= set(files)


def test_what_is_switched_off_in_the_packaging_config_is_not_there(farm) -> None:
    config = {"type": "Zipfile", "include_sample_code": False, "include_runtime_packages": False}
    files = contents(farm.pour(farm.sample(SEARCH, [config]))[0])
    assert not [name for name in files if name.startswith(("SampleCode/", "ONNXRuntimePackages/"))]


def test_a_missing_model_fails_before_anything_is_written(farm) -> None:
    event = farm.sample(SEARCH)
    shutil.rmtree(farm.root / "cache")
    with pytest.raises(PermanentError) as caught:
        farm.pour(event)
    assert caught.value.code is ErrorCode.MODEL_MISSING
    assert str(farm.root) not in caught.value.message
    assert not (farm.root / "out").exists()


def test_models_that_would_lie_in_one_place_are_refused(farm, model: Model) -> None:
    folder = model(farm.root / "cache" / "m" / "net.onnx").parent
    (folder / "Metrics.json").write_text("{}")
    with pytest.raises(PermanentError) as caught:
        farm.pour(farm.made_up({"model_path": farm.engine_path(folder)}))
    assert caught.value.code is ErrorCode.LAYOUT_CONFLICT


def test_the_unfinished_zip_is_hidden_until_it_is_whole(farm, tmp_path: Path, monkeypatch) -> None:
    seen: list[tuple[str, list[str], int]] = []

    def look(point: str) -> None:
        if point == "zip.writing":
            return
        there = sorted((farm.root / "out").iterdir())
        seen.append((point, [each.name for each in there], there[0].stat().st_size))

    monkeypatch.setattr("packhouse.worker.packagers.zipfile.reach", look)
    path, poured = farm.pour(farm.sample(SEARCH))
    assert seen == [
        ("zip.begun", [".Models.zip.abcdef-0-a1.partial"], 0),
        ("zip.poured", [".Models.zip.abcdef-0-a1.partial"], poured.bytes),
        ("zip.renamed", [path.name], poured.bytes),
    ]


@pytest.mark.parametrize("engine", ["C:\\Olive Work", "\\\\nas\\olive"])
def test_a_run_of_an_engine_on_windows_is_packaged_and_told_of_in_its_own_spelling(
    farm, model: Model, monkeypatch, engine: str
) -> None:
    mapping = type(farm.mapping).parse([f"{engine}={farm.root}"])
    monkeypatch.setattr(type(farm), "mapping", mapping)
    model(farm.root / "cache" / "a" / "net.onnx", external="w/net.bin")
    model(farm.root / "cache" / "b" / "net.onnx", external="net.bin")
    event = farm.made_up(
        {"model_path": f"{engine}\\cache\\a\\net.onnx"},
        {"model_path": f"{engine}\\cache\\b", "onnx_file_name": "net.onnx"},
        output_dir=f"{engine}\\out",
        engine={"name": "engine"},
    )
    node = event.footprints[0].nodes[1]
    node.model.config["extra"] = f"{engine.lower()}/scripts/a.py"
    job, packager = farm.job(event), ZipfilePackager()
    poured = packager.pour(job, packager.plan(job))
    assert poured.path == f"{engine}\\out\\Models.zip"
    files = contents(farm.root / "out" / "Models.zip")
    assert f"{poured.models[0]}/w/net.bin" in files
    assert f"{poured.models[1]}/net.bin" in files
    config = document(files, "models_rank.json")[0]["model_config"]["config"]
    assert config["extra"] == "<engine>/scripts/a.py"
    assert all(b"olive" not in data.lower() for data in files.values())
