"""The Python sample of a package, run as it is, against onnxruntime on the same inputs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
from support.models import ROOT, save, save_with_given_initializers
from support.sample_lines import assert_same, expected, printed
from support.sample_models import MADE
from support.sample_packages import REAL, USUAL, Packages, onnx, shapes_of

CANDIDATE = "CandidateModels/cpu-cpu/BestCandidateModel_1"
FULL = [pytest.param(name, marks=pytest.mark.full) for name in REAL]


def one_sentence(ended: subprocess.CompletedProcess[str]) -> str:
    """The last line that a sample said before it gave up."""
    assert ended.returncode == 2, ended.stderr
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    return ended.stderr.splitlines()[-1]


@pytest.mark.parametrize("name", [*MADE, *FULL])
def test_the_sample_prints_what_onnxruntime_makes_of_the_same_inputs(name, packages, python_sample, tmp_path):
    package = packages(name)
    ended = python_sample(package, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    lines = printed(ended.stdout)
    assert lines
    assert_same(lines, expected(package / CANDIDATE / "model.onnx", shapes_of(package)))


@pytest.mark.full
@pytest.mark.parametrize("name", USUAL)
def test_a_real_model_runs_at_its_usual_size(name, packages, python_sample):
    package, (input_name, shape) = packages(name), USUAL[name]
    ended = python_sample(package, "--shape", f"{input_name}={','.join(map(str, shape))}")
    assert ended.returncode == 0, ended.stderr
    shapes = shapes_of(package) | {input_name: shape}
    assert_same(printed(ended.stdout), expected(package / CANDIDATE / "model.onnx", shapes))


def test_the_folder_of_any_other_candidate_may_be_given(packages, python_sample):
    other = packages("strings") / CANDIDATE
    ended = python_sample(packages("external"), str(other), "--shape", "words=3,2")
    assert ended.returncode == 0, ended.stderr
    assert_same(printed(ended.stdout), expected(other / "model.onnx", {"words": (3, 2)}))


def test_what_this_machine_has_not_is_said_and_the_sample_goes_on(making: Packages, python_sample):
    settings = {
        "execution_provider": ["CUDAExecutionProvider", "CPUExecutionProvider"],
        "provider_options": [{"device_id": 0, "arena": None}, {}],
        "session_options": {
            "execution_mode": 1,
            "graph_optimization_level": 3,
            "new_option": 1,
            "enable_profiling": False,
        },
    }
    model = save(making.place("plain.onnx"))
    package = making.made("plain", onnx(model, inference_settings=settings))
    ended = python_sample(package)
    assert ended.returncode == 0
    assert_same(printed(ended.stdout), expected(package / CANDIDATE / "model.onnx", {}))
    assert "CUDAExecutionProvider is not in this onnxruntime" in ended.stderr
    assert "The session option new_option is not set" in ended.stderr
    assert "enable_profiling" not in ended.stderr


def test_each_component_is_run_one_after_the_other(making: Packages, python_sample):
    own = {"execution_provider": ["CPUExecutionProvider", "OpenVINOExecutionProvider"], "provider_options": [{}, {}]}
    first = onnx(save(making.place("one/net.onnx"), seed=1), inference_settings=own)
    parts = [first, onnx(save(making.place("two/net.onnx"), seed=2))]
    config = {"model_components": parts, "model_component_names": ["first", "second"]}
    package = making.made("several", {"type": "CompositeModel", "config": config})
    ended = python_sample(package)
    assert ended.returncode == 0, ended.stderr
    models = sorted((package / ROOT).rglob("*.onnx"))
    assert len(models) == 2
    assert_same(printed(ended.stdout), [line for model in models for line in expected(model, {})])
    said = ended.stderr.splitlines()
    assert said[0::2] == [f"{model.relative_to(package / ROOT)}:" for model in models]
    assert said[1].startswith("OpenVINOExecutionProvider is not in this onnxruntime")


def test_initializers_beside_the_model_are_given_to_the_session(making: Packages, python_sample):
    model = save_with_given_initializers(making.place("given/net.onnx"), "weights.npz")
    folder = onnx(model.parent, onnx_file_name="net.onnx", external_initializers_file_name="weights.npz")
    ended = python_sample(making.made("given", folder))
    assert ended.returncode == 0, ended.stderr
    assert_same(printed(ended.stdout), expected(save(making.place("whole.onnx")), {}))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["/nowhere/at/all"], "/nowhere/at/all is no folder"),
        (["."], "holds no ONNX model: name the folder of a candidate"),
        (["--shape", "x=1,65"], "The input 'x' is of shape ?,64: it cannot be 1,65."),
        (["--shape", "z=1"], "The model has no input 'z': its inputs are 'x'."),
        (["--shape", "x=1,,2"], "--shape x=1,,2 is not of the form NAME=1,3,224,224."),
        (["--shape", "x=99999999,64"], "choose a smaller --shape"),
    ],
)
def test_a_mistake_gives_one_sentence_and_exit_code_2(arguments, said, packages, python_sample, tmp_path):
    assert said in one_sentence(python_sample(packages("external"), *arguments, cwd=tmp_path))


def test_a_dimension_of_nothing_is_a_shape_like_any_other(packages, python_sample):
    ended = python_sample(packages("sequence"), "--shape", "a=2,0", "--shape", "b=1,3")
    assert ended.returncode == 0, ended.stderr
    assert printed(ended.stdout)[0].shape == (2, 0)


@pytest.mark.parametrize(
    ("file", "said"),
    [("model.onnx", "onnxruntime could not load"), ("inference_config.json", "could not be read")],
)
def test_a_broken_file_gives_one_sentence_and_exit_code_2(file, said, packages, python_sample, tmp_path):
    shutil.copytree(packages("strings"), tmp_path / "broken")
    (tmp_path / "broken" / CANDIDATE / file).write_bytes(b"{broken")
    assert said in one_sentence(python_sample(tmp_path / "broken"))


def test_without_onnxruntime_the_sample_says_what_to_install(packages):
    sample = packages("strings") / "SampleCode" / "python" / "sample.py"
    command = [sys.executable, "-I", "-S", str(sample)]
    ended = subprocess.run(command, capture_output=True, encoding="utf-8", check=False, timeout=60)
    assert "is not there for" in one_sentence(ended)
    assert "pip install -r requirements.txt" in ended.stderr


def test_a_model_with_operators_of_the_extensions_says_that_it_needs_them(packages, python_sample, tmp_path):
    shutil.copytree(packages("strings"), tmp_path / "package")
    info = tmp_path / "package" / CANDIDATE / "model_info.json"
    told = json.loads(info.read_text())
    told["model_config"]["config"]["use_ort_extensions"] = True
    info.write_text(json.dumps(told))
    assert "pip install onnxruntime-extensions" in one_sentence(python_sample(tmp_path / "package"))


@pytest.mark.full
def test_a_shape_that_a_real_model_cannot_take_gives_one_sentence(packages, python_sample):
    said = one_sentence(python_sample(packages("silero-vad"), "--shape", "input=1,1"))
    assert "The model did not run on these inputs; other shapes may do, see --shape" in said
