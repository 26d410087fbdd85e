"""The C++ sample of a package, compiled and run as it is, against onnxruntime in Python on the same inputs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from support.cpp import build_sample, runtime_root
from support.models import save, save_with_given_initializers
from support.sample_lines import assert_same, expected, printed
from support.sample_models import MADE
from support.sample_packages import REAL, USUAL, Packages, onnx, shapes_of

pytestmark = pytest.mark.full

CANDIDATE = "CandidateModels/cpu-cpu/BestCandidateModel_1"


def run(program: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(program), *arguments], cwd=cwd, capture_output=True, encoding="utf-8", check=False, timeout=60
    )


def sample_of(package: Path) -> Path:
    return build_sample(package / "SampleCode" / "cpp")


def one_sentence(ended: subprocess.CompletedProcess[str]) -> str:
    """What a sample said before it gave up; ONNX Runtime's own lines may stand before it."""
    assert ended.returncode == 2, ended.stderr
    assert ended.stdout == ""
    return ended.stderr.splitlines()[-1]


@pytest.mark.parametrize("name", [*MADE, *REAL])
def test_the_sample_prints_what_onnxruntime_makes_of_the_same_inputs(name, packages):
    package = packages(name)
    ended = run(sample_of(package), cwd=package)
    assert ended.returncode == 0, ended.stderr
    lines = printed(ended.stdout)
    assert lines
    assert_same(lines, expected(package / CANDIDATE / "model.onnx", shapes_of(package)))


@pytest.mark.parametrize("name", USUAL)
def test_a_real_model_runs_at_its_usual_size(name, packages):
    package, (input_name, shape) = packages(name), USUAL[name]
    ended = run(sample_of(package), "--shape", f"{input_name}={','.join(map(str, shape))}", cwd=package)
    assert ended.returncode == 0, ended.stderr
    shapes = shapes_of(package) | {input_name: shape}
    assert_same(printed(ended.stdout), expected(package / CANDIDATE / "model.onnx", shapes))


def test_the_folder_of_any_other_candidate_may_be_given(packages, tmp_path):
    other = packages("strings") / CANDIDATE
    ended = run(sample_of(packages("external")), str(other), "--shape", "words=3,2", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert_same(printed(ended.stdout), expected(other / "model.onnx", {"words": (3, 2)}))


def test_what_this_machine_has_not_is_said_and_the_sample_goes_on(making: Packages):
    settings = {
        "execution_provider": ["CUDAExecutionProvider", "OpenVINOExecutionProvider", "CPUExecutionProvider"],
        "provider_options": [{"device_id": 0, "arena": None}, {}, {}],
        "session_options": {
            "execution_mode": 1,
            "graph_optimization_level": 3,
            "new_option": 1,
            "enable_profiling": False,
        },
    }
    package = making.made("plain", onnx(save(making.place("plain.onnx")), inference_settings=settings))
    ended = run(sample_of(package), cwd=package)
    assert ended.returncode == 0
    assert_same(printed(ended.stdout), expected(package / CANDIDATE / "model.onnx", {}))
    assert "CUDAExecutionProvider is not in this onnxruntime" in ended.stderr
    assert "OpenVINOExecutionProvider is not in this onnxruntime" in ended.stderr
    assert "The session option new_option is not set" in ended.stderr
    assert "enable_profiling" not in ended.stderr


def test_each_component_is_run_one_after_the_other(making: Packages):
    own = {"execution_provider": ["CPUExecutionProvider", "OpenVINOExecutionProvider"], "provider_options": [{}, {}]}
    first = onnx(save(making.place("one/net.onnx"), seed=1), inference_settings=own)
    parts = [first, onnx(save(making.place("two/net.onnx"), seed=2))]
    config = {"model_components": parts, "model_component_names": ["first", "second"]}
    package = making.made("several", {"type": "CompositeModel", "config": config})
    ended = run(sample_of(package), cwd=package)
    assert ended.returncode == 0, ended.stderr
    models = sorted((package / CANDIDATE).rglob("*.onnx"))
    assert len(models) == 2
    assert_same(printed(ended.stdout), [line for model in models for line in expected(model, {})])
    assert ended.stderr.count("OpenVINOExecutionProvider is not in this onnxruntime") == 1


def test_initializers_beside_the_model_are_given_to_the_session(making: Packages):
    model = save_with_given_initializers(making.place("given/net.onnx"), "weights.npz")
    folder = onnx(model.parent, onnx_file_name="net.onnx", external_initializers_file_name="weights.npz")
    package = making.made("given", folder)
    ended = run(sample_of(package), cwd=package)
    assert ended.returncode == 0, ended.stderr
    assert_same(printed(ended.stdout), expected(save(making.place("whole.onnx")), {}))
    weights = package / CANDIDATE / "weights.npz"
    for broken in (b"none", weights.read_bytes()[100:], weights.read_bytes()[:-22] + b"PK\5\6" + b"\xff" * 18):
        weights.write_bytes(broken)
        assert "weights.npz could not be read: " in one_sentence(run(sample_of(package), cwd=package))
    np.savez_compressed(weights, w0=np.zeros((16, 16), np.float32))
    assert "w0.npy in it is compressed" in one_sentence(run(sample_of(package), cwd=package))


def test_a_mistake_gives_one_sentence_and_exit_code_2(packages, tmp_path):
    package = packages("external")
    sample = sample_of(package)
    for arguments, said in (
        (["/nowhere/at/all"], "/nowhere/at/all is no folder"),
        ([str(tmp_path)], "holds no ONNX model: name the folder of a candidate"),
        (["--shape", "x=1,65"], "The input x is of shape ?,64: it cannot be 1,65."),
        (["--shape", "z=1"], "The model has no input z: its inputs are x."),
        (["--shape", "x=1,,2"], "--shape x=1,,2 is not of the form NAME=1,3,224,224."),
        (["--shape", "x=99999999,64"], "choose a smaller --shape"),
        (["--shape"], "--shape wants a value"),
        (["--colour", "red"], "usage: sample"),
    ):
        assert said in one_sentence(run(sample, *arguments, cwd=package))
    assert f"{CANDIDATE} is not to be found" in one_sentence(run(sample, cwd=tmp_path))


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("model.onnx", b"{broken", "onnxruntime could not load"),
        ("inference_config.json", b"{broken", "could not be read: no JSON at byte 1"),
        ("inference_config.json", b"[" * 1_000_000, "could not be read: no JSON at byte"),
        ("model_info.json", b'"\\ud800\\u0041', "could not be read: no JSON at byte"),
    ],
)
def test_a_broken_file_gives_one_sentence_and_exit_code_2(file, content, said, packages, tmp_path):
    sample = sample_of(packages("strings"))
    shutil.copytree(packages("strings"), tmp_path / "broken")
    (tmp_path / "broken" / CANDIDATE / file).write_bytes(content)
    assert said in one_sentence(run(sample, cwd=tmp_path / "broken"))


def test_names_in_any_script_are_read_from_the_description(packages, tmp_path):
    shutil.copytree(packages("strings"), tmp_path / "package")
    folder = tmp_path / "package" / CANDIDATE
    (folder / "ünï 😀").mkdir()
    (folder / "model.onnx").rename(folder / "ünï 😀" / 'the "model".onnx')
    info = json.loads((folder / "model_info.json").read_text())
    info["model_config"]["config"]["model_path"] = f'{CANDIDATE}/ünï 😀/the "model".onnx'
    for escaped in (True, False):
        (folder / "model_info.json").write_text(json.dumps(info, ensure_ascii=escaped), encoding="utf-8")
        ended = run(sample_of(packages("strings")), cwd=tmp_path / "package")
        assert ended.returncode == 0, ended.stderr


def test_operators_of_the_extensions_are_said_to_be_needed(packages, tmp_path):
    shutil.copytree(packages("strings"), tmp_path / "package")
    info = tmp_path / "package" / CANDIDATE / "model_info.json"
    told = json.loads(info.read_text())
    told["model_config"]["config"]["use_ort_extensions"] = True
    info.write_text(json.dumps(told))
    ended = run(sample_of(packages("strings")), cwd=tmp_path / "package")
    assert "give its library with --extensions" in one_sentence(ended)


def cmake(source: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Configure and build in ``build`` below the source, as the README says it."""
    command = ["cmake", "-S", str(source), "-B", str(source / "build"), *options]
    configured = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if configured.returncode:
        return configured
    command = ["cmake", "--build", str(source / "build"), "--config", "Release"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_cmake_builds_the_sample_against_a_folder_of_onnx_runtime(packages, tmp_path):
    shutil.copytree(packages("silero-vad"), tmp_path / "package")
    source = tmp_path / "package" / "SampleCode" / "cpp"
    done = cmake(source, f"-DONNXRUNTIME_ROOT={runtime_root()}")
    assert done.returncode == 0, done.stdout + done.stderr
    ended = run(source / "build" / "sample", cwd=Path("/"))
    assert ended.returncode == 0, ended.stderr
    model = tmp_path / "package" / CANDIDATE / "model.onnx"
    assert_same(printed(ended.stdout), expected(model, shapes_of(tmp_path / "package")))


def test_cmake_builds_the_sample_against_the_packages_that_lie_beside_it(packages, tmp_path):
    shutil.copytree(packages("strings"), tmp_path / "package")
    nuget = tmp_path / "package" / "ONNXRuntimePackages" / "nuget"
    nuget.mkdir(parents=True)
    with zipfile.ZipFile(nuget / "microsoft.ml.onnxruntime.1.32.0.nupkg", "w") as package:
        for header in (runtime_root() / "include").glob("*.h"):
            package.write(header, f"build/native/include/{header.name}")
        package.write(runtime_root() / "lib" / "libonnxruntime.so", "runtimes/linux-x64/native/libonnxruntime.so")
    with zipfile.ZipFile(nuget / "microsoft.ml.onnxruntime.managed.1.32.0.nupkg", "w") as package:
        package.writestr("lib/none.txt", "")
    source = tmp_path / "package" / "SampleCode" / "cpp"
    done = cmake(source, "-DCMAKE_BUILD_TYPE=Debug")
    assert done.returncode == 0, done.stdout + done.stderr
    ended = run(source / "build" / "sample", cwd=Path("/"))
    assert ended.returncode == 0, ended.stderr
    assert printed(ended.stdout)


def test_cmake_without_onnx_runtime_says_how_to_name_it(packages, tmp_path):
    shutil.copytree(packages("strings") / "SampleCode" / "cpp", tmp_path / "cpp")
    done = cmake(tmp_path / "cpp")
    assert done.returncode != 0
    assert re.search(r"give its folder\s+with\s+-DONNXRUNTIME_ROOT", done.stderr)
