from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.sampled import EVERYTHING, FOLDER, PLAIN, sampled

from packhouse.schemas.events import Package
from packhouse.worker.package.tree import Made, PackageTree
from packhouse.worker.samples.code import sample_code
from packhouse.worker.samples.model import SampleModel

MODELS = [
    sampled(PLAIN),
    sampled(EVERYTHING, shapes={"x": (1, 2, 3), "count": (), "text": (4,)}),
    sampled(None),
    sampled(PLAIN, EVERYTHING),
    sampled(PLAIN, use_ort_extensions=True, packages=()),
    sampled(PLAIN, generative=True),
    *[SampleModel(FOLDER, kind) for kind in ("PyTorchModel", "HFModel", "OpenVINOModel", "SNPEModel")],
]


def text(made: dict[str, Made], path: str) -> str:
    return made[f"SampleCode/{path}"].data.decode()


@pytest.mark.parametrize("model", MODELS)
def test_every_file_of_the_python_sample_is_python(model):
    made = sample_code(model)
    programs = [path for path in made if path.endswith(".py")]
    assert ("SampleCode/python/sample.py" in programs) == bool(model.graphs)
    for path in programs:
        compile(made[path].data, path, "exec", dont_inherit=True)


def test_the_python_sample_is_in_the_style_of_python(tmp_path):
    for model in MODELS:
        for path, made in sample_code(model).items():
            if path.endswith(".py"):
                (tmp_path / Path(path).name).write_bytes(made.data)
        ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--line-length=120"]
        command = [*ruff, "--select=B,C4,E,F,I,PIE,RET,SIM,UP,W", "--target-version=py39", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("model", MODELS)
def test_equal_models_give_equal_bytes_in_the_order_of_the_paths(model):
    made = sample_code(model)
    assert made == sample_code(model)
    assert list(made) == sorted(made)
    assert list(PackageTree(made)) == list(made)


@pytest.mark.parametrize("model", MODELS)
def test_no_file_is_empty_and_each_ends_with_one_line_feed_and_holds_no_trace_of_the_template(model):
    for path, made in sample_code(model).items():
        written = made.data.decode()
        assert written.strip(), path
        assert written.endswith("\n"), path
        assert not written.endswith("\n\n"), path
        assert "\r" not in written, path
        assert "{%" not in written, path


def test_the_readme_tells_inputs_outputs_and_the_shapes_that_work():
    readme = text(sample_code(sampled(EVERYTHING, shapes={"x": (1, 2, 3), "count": ()})), "README.md")
    assert "- `x`: float[1,n,?]; runs with shape (1, 2, 3)" in readme
    assert "- `count`: int64[]; runs with shape ()" in readme
    assert "- `probabilities`: sequence of map of int64 to float[]" in readme


def test_the_sample_looks_for_the_best_candidate_itself():
    assert f"BEST_CANDIDATE = '{FOLDER}'" in text(sample_code(sampled(PLAIN)), "python/sample.py")


def test_the_runtime_of_the_engine_is_pinned_with_the_numpy_that_it_was_built_for():
    lines = text(sample_code(sampled(PLAIN)), "python/requirements.txt").splitlines()
    assert lines[1:] == ["numpy<2", "onnxruntime==1.18.1"]


def test_without_a_known_runtime_any_version_is_asked_for_and_extensions_where_the_model_has_them():
    made = sample_code(sampled(PLAIN, packages=(), use_ort_extensions=True))
    lines = text(made, "python/requirements.txt").splitlines()
    assert lines[1:] == ["numpy", "onnxruntime", "onnxruntime-extensions"]


def test_a_runtime_of_another_name_takes_the_place_of_the_usual_one():
    made = sample_code(sampled(PLAIN, packages=(Package(name="onnxruntime-openvino", version="1.21.0"),)))
    assert text(made, "python/requirements.txt").splitlines()[1:] == ["numpy", "onnxruntime-openvino==1.21.0"]


def test_a_generative_model_has_a_program_in_python_and_says_what_to_do_in_the_other_languages():
    runtimes = (Package(name="onnxruntime-genai", version="0.8.0"),)
    made = sample_code(sampled(PLAIN, generative=True, packages=runtimes))
    assert "onnxruntime_genai.Generator" in text(made, "python/sample.py")
    assert text(made, "python/requirements.txt").splitlines()[1:] == ["numpy", "onnxruntime-genai==0.8.0"]
    assert {path for path in made if "/cpp/" in path or "/csharp/" in path} == {
        "SampleCode/cpp/README.md",
        "SampleCode/csharp/README.md",
    }


def test_a_model_that_is_not_onnx_has_a_readme_that_says_so_and_no_code():
    model = SampleModel(FOLDER, "PyTorchModel", no_code="It is a PyTorch model: ONNX Runtime does not run it.")
    made = sample_code(model)
    assert list(made) == ["SampleCode/README.md"]
    assert "It is a PyTorch model" in text(made, "README.md")
