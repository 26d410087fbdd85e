"""The rules that the samples of all languages keep, by ``templates/README.md``, on candidates written by hand."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import cpp, dotnet
from support.models import save
from support.sample_lines import assert_same, expected, printed
from support.sample_models import write

CANDIDATE = "CandidateModels/cpu-cpu/BestCandidateModel_1"
NO_OPENVINO = "OpenVINOExecutionProvider is not in this onnxruntime"

Ended = subprocess.CompletedProcess[str]
Sample = Callable[..., Ended]


@pytest.fixture(
    scope="module",
    params=["python", pytest.param("cpp", marks=pytest.mark.full), pytest.param("csharp", marks=pytest.mark.full)],
)
def sample(request, packages, tmp_path_factory) -> Sample:
    """Runs the sample of a language, which lies in no package."""
    code: Path = packages("strings") / "SampleCode" / request.param
    if request.param == "csharp":
        program = dotnet.build_sample(code)
        return lambda *arguments, cwd: dotnet.run_dotnet(program, *map(str, arguments), cwd=cwd)
    if request.param == "cpp":
        command = [str(cpp.build_sample(code))]
    else:
        away = shutil.copytree(code, tmp_path_factory.mktemp("sample") / "python")
        command = [sys.executable, "-W", "error", str(away / "sample.py")]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONIOENCODING": "ascii"}
    return lambda *arguments, cwd: subprocess.run(
        [*command, *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=100,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a candidate: ``net.onnx``, and nothing else yet."""
    made = tmp_path / "candidate"
    save(made / "net.onnx")
    return made


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder with nothing in it, to run in."""
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "elsewhere"


def model(path: str, **config: Any) -> dict[str, Any]:
    """A model as ``model_info.json`` describes it."""
    return {"type": "ONNXModel", "config": {"model_path": f"{CANDIDATE}/{path}", **config}}


def composite(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "CompositeModel", "config": {"model_components": list(parts)}}


def describe(folder: Path, described: dict[str, Any]) -> None:
    (folder / "model_info.json").write_text(json.dumps({"model_config": described}))


def one_sentence(ended: Ended) -> str:
    """What a sample said before it gave up; ONNX Runtime's own lines may stand before it."""
    assert ended.returncode == 2, ended.stderr
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    assert "Unhandled exception" not in ended.stderr
    return ended.stderr.splitlines()[-1]


def test_the_best_candidate_is_found_from_the_current_folder_upwards(sample, packages):
    ended = sample(cwd=packages("strings") / CANDIDATE)
    assert ended.returncode == 0, ended.stderr
    assert_same(printed(ended.stdout), expected(packages("strings") / CANDIDATE / "model.onnx", {}))


def test_components_of_components_are_run_and_those_that_are_not_onnx_passed_over(sample, tmp_path, elsewhere):
    models = [save(tmp_path / "candidate" / name / "net.onnx", seed=at) for at, name in enumerate("abc")]
    inner = composite(model("b/net.onnx"), {"type": "PyTorchModel", "config": {"model_path": "b/net.onnx"}})
    third = {**model("c", onnx_file_name="net.onnx"), "type": "onnxmodel"}
    describe(tmp_path / "candidate", composite(model("a/net.onnx"), inner, {"config": {}}, third))
    ended = sample(tmp_path / "candidate", "--shape", "nobody=3", cwd=elsewhere)
    assert ended.returncode == 0, ended.stderr
    assert_same(printed(ended.stdout), [line for each in models for line in expected(each, {})])
    assert ended.stderr.splitlines() == ["a/net.onnx:", "b/net.onnx:", "c/net.onnx:"]


def test_of_components_none_of_which_is_onnx_there_is_nothing_to_run(sample, folder, elsewhere):
    describe(folder, composite({"type": "PyTorchModel", "config": {"model_path": "net.onnx"}}))
    assert "holds no ONNX model: name the folder of a candidate" in one_sentence(sample(folder, cwd=elsewhere))


@pytest.mark.parametrize(
    "settings",
    [
        {
            "execution_provider": ["CPUExecutionProvider", "OpenVINOExecutionProvider"],
            "provider_options": [{}, {"a": 1}],
        },
        {"execution_provider": [["OpenVINOExecutionProvider", {"a": 1}], ["CPUExecutionProvider", {}]]},
        {"execution_provider": "OpenVINOExecutionProvider", "session_options": None},
    ],
)
def test_without_a_file_of_settings_those_of_the_description_hold(settings, sample, folder, elsewhere):
    describe(folder, model("net.onnx", inference_settings=settings))
    for content, times in (("null", 1), ("{}", 0)):
        (folder / "inference_config.json").write_text(content)
        ended = sample(folder, cwd=elsewhere)
        assert ended.returncode == 0, ended.stderr
        assert_same(printed(ended.stdout), expected(folder / "net.onnx", {}))
        assert ended.stderr.count(NO_OPENVINO) == times


def test_no_setting_makes_the_sample_write_a_file(sample, folder, elsewhere):
    written = str(elsewhere / "written")
    extra = {
        "ep.context_enable": "1",
        "ep.context_file_path": written,
        "session.optimized_model_external_initializers_file_name": written,
        "session.collect_node_memory_stats_to_file": written,
    }
    profiling = {"enable_profiling": True, "profile_file_prefix": written}
    options = {"optimized_model_filepath": written, **profiling, "extra_session_config": extra}
    describe(folder, model("net.onnx"))
    (folder / "inference_config.json").write_text(json.dumps({"session_options": options}))
    ended = sample(folder, cwd=elsewhere)
    assert ended.returncode == 0, ended.stderr
    assert_same(printed(ended.stdout), expected(folder / "net.onnx", {}))
    assert not list(elsewhere.iterdir())
    assert sorted(path.name for path in folder.iterdir()) == ["inference_config.json", "model_info.json", "net.onnx"]
    for name in ("optimized_model_filepath", "enable_profiling", "profile_file_prefix"):
        assert f"The session option {name} is not set" in ended.stderr


def test_an_option_that_cannot_be_set_is_said_and_the_sample_goes_on(sample, folder, elsewhere):
    options = {"intra_op_num_threads": 10**30, "extra_session_config": {"k" * 5000: "1"}}
    describe(folder, model("net.onnx"))
    settings = json.dumps({"session_options": options})
    (folder / "inference_config.json").write_text(settings, encoding="utf-8-sig")
    ended = sample(folder, cwd=elsewhere)
    assert ended.returncode == 0, ended.stderr
    assert_same(printed(ended.stdout), expected(folder / "net.onnx", {}))
    for name in options:
        assert f"The session option {name} is not set" in ended.stderr


def test_a_provider_that_cannot_load_the_model_is_said_on_standard_error_only(sample, folder, elsewhere):
    describe(folder, model("net.onnx"))
    options = {"extra_session_config": {"session.disable_cpu_ep_fallback": "1"}}
    settings = {"execution_provider": ["AzureExecutionProvider"], "session_options": options}
    (folder / "inference_config.json").write_text(json.dumps(settings))
    ended = sample(folder, cwd=elsewhere)
    assert "onnxruntime could not load" in one_sentence(ended)
    assert "AzureExecutionProvider could not load the model: going on with CPUExecutionProvider" in ended.stderr


def test_inputs_that_never_change_are_read_from_beside_the_model(sample, folder, elsewhere):
    write("every element", folder / "net.onnx")
    five, yes = np.full((3, 1, 7), 5, np.int8), np.ones((3, 1, 7), np.bool_)
    np.savez(folder / "inputs.npz", int8=five, int32=np.array(77, np.int32), bool=yes)
    describe(folder, model("net.onnx", constant_inputs_file_name="inputs.npz"))
    ended = sample(folder, cwd=elsewhere)
    assert ended.returncode == 0, ended.stderr
    lines = {each.name: each.values for each in printed(ended.stdout)}
    assert (lines["int8 out"], lines["int32 out"], lines["bool out"]) == ((5.0,) * 16, (77.0,), (1.0,) * 16)
    assert lines["uint8 out"] == (0.0, 1.0) * 8


def test_broken_inputs_beside_the_model_give_one_sentence(sample, folder, elsewhere):
    archive = folder / "inputs.npz"
    np.savez(archive, x=np.zeros((1, 16), np.float32))
    whole = archive.read_bytes()
    np.save(folder / "inputs.npy", np.zeros((1, 16), np.float32))
    single = (folder / "inputs.npy").read_bytes()
    describe(folder, model("net.onnx", constant_inputs_file_name="inputs.npz"))
    shape = whole.replace(b"(1, 16)", b"(9, 16)")
    for broken in (b"none", b"", single, whole[100:], whole[:-30], shape):
        archive.write_bytes(broken)
        assert "inputs.npz could not be read: " in one_sentence(sample(folder, cwd=elsewhere))
    archive.unlink()
    assert "inputs.npz could not be read: " in one_sentence(sample(folder, cwd=elsewhere))


@pytest.mark.parametrize("content", [b"{broken", b"[" * 100_000, b'"\\ud800\\u0041', b'{"a": "\xff}'])
@pytest.mark.parametrize("file", ["model_info.json", "inference_config.json"])
def test_json_that_is_none_gives_one_sentence(file, content, sample, folder, elsewhere):
    describe(folder, model("net.onnx"))
    (folder / file).write_bytes(content)
    assert f"{file} could not be read: " in one_sentence(sample(folder, cwd=elsewhere))


def test_a_name_that_is_no_unicode_gives_one_sentence(sample, folder, elsewhere):
    (folder / "net.onnx").rename(folder / "other.onnx")
    describe(folder, model("\ud800.onnx"))
    one_sentence(sample(folder, cwd=elsewhere))
