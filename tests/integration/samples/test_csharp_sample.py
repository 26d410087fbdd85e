"""The C# sample of a package, compiled and run as it is, against onnxruntime in Python on the same inputs.

It is compiled against ONNX Runtime's managed API from the sources that an npm package carries: the package
``Microsoft.ML.OnnxRuntime.Managed`` of NuGet is compiled from the same ones. ``Sample.csproj`` is not built here, for
want of an SDK; what it says is looked at in the unit tests.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from support.dotnet import Compiler, run_dotnet
from support.models import save, save_with_given_initializers
from support.sample_lines import assert_same, expected, printed
from support.sample_models import MADE
from support.sample_packages import REAL, USUAL, Packages, onnx, shapes_of

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]

CANDIDATE = "CandidateModels/cpu-cpu/BestCandidateModel_1"

Build = Callable[[Path], Path]


@pytest.fixture(scope="module")
def compiler() -> Iterator[Compiler]:
    with Compiler() as running:
        yield running


@pytest.fixture(scope="module")
def build(compiler: Compiler) -> Build:
    """The program of a package's sample, where a build of the project leaves it; fails for any warning."""

    def built(package: Path) -> Path:
        program = package / "SampleCode" / "csharp" / "bin" / "Release" / "net8.0" / "Sample.dll"
        if not program.exists():
            said = compiler.sample(package / "SampleCode" / "csharp", program)
            assert not said, "\n".join(said)
        return program

    return built


def one_sentence(ended: subprocess.CompletedProcess[str]) -> str:
    """What a sample said before it gave up; ONNX Runtime's own lines may stand before it."""
    assert ended.returncode == 2, ended.stderr
    assert ended.stdout == ""
    assert "Unhandled exception" not in ended.stderr
    return ended.stderr.splitlines()[-1]


@pytest.mark.parametrize("name", [name for name in (*MADE, *REAL) if name != "perhaps"])
def test_the_sample_prints_what_onnxruntime_makes_of_the_same_inputs(name, packages, build, tmp_path):
    package = packages(name)
    ended = run_dotnet(build(package), cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    lines = printed(ended.stdout)
    assert lines
    assert_same(lines, expected(package / CANDIDATE / "model.onnx", shapes_of(package)))


def test_an_output_that_may_be_absent_is_left_out_and_said(packages, build):
    package = packages("perhaps")
    ended = run_dotnet(build(package))
    assert ended.returncode == 0, ended.stderr
    assert_same(printed(ended.stdout), expected(package / CANDIDATE / "model.onnx", {})[:1])
    for name in ("absent", "present"):
        assert f"The output {name} is not asked for" in ended.stderr


@pytest.mark.parametrize("name", USUAL)
def test_a_real_model_runs_at_its_usual_size(name, packages, build):
    package, (input_name, shape) = packages(name), USUAL[name]
    ended = run_dotnet(build(package), "--shape", f"{input_name}={','.join(map(str, shape))}")
    assert ended.returncode == 0, ended.stderr
    shapes = shapes_of(package) | {input_name: shape}
    assert_same(printed(ended.stdout), expected(package / CANDIDATE / "model.onnx", shapes))


def test_the_folder_of_any_other_candidate_may_be_given(packages, build, tmp_path):
    other = packages("strings") / CANDIDATE
    ended = run_dotnet(build(packages("external")), str(other), "--shape", "words=3,2", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert_same(printed(ended.stdout), expected(other / "model.onnx", {"words": (3, 2)}))


def test_a_dimension_of_nothing_is_a_shape_like_any_other(packages, build):
    ended = run_dotnet(build(packages("sequence")), "--shape", "a=2,0", "--shape", "b=1,3")
    assert ended.returncode == 0, ended.stderr
    assert printed(ended.stdout)[0].shape == (2, 0)


@pytest.mark.parametrize("level", [0, 1, 2, 3, 99, "ORT_ENABLE_BASIC", None])
def test_settings_are_set_and_what_this_machine_has_not_is_said(level, making: Packages, packages, build):
    settings = {
        "execution_provider": ["CUDAExecutionProvider", "AzureExecutionProvider", "CPUExecutionProvider"],
        "provider_options": [{"device_id": 0, "arena": None}, {}, {}],
        "session_options": {
            "execution_mode": 1,
            "graph_optimization_level": level,
            "log_severity_level": 2,
            "enable_cpu_mem_arena": False,
            "new_option": 1,
            "enable_profiling": False,
            "extra_session_config": {"session.set_denormal_as_zero": 1, "ep.context_enable": "1", "none": None},
        },
    }
    package = making.made("plain", onnx(save(making.place("plain.onnx")), inference_settings=settings))
    ended = run_dotnet(build(packages("strings")), str(package / CANDIDATE))
    assert ended.returncode == 0, ended.stderr
    assert_same(printed(ended.stdout), expected(package / CANDIDATE / "model.onnx", {}))
    assert "CUDAExecutionProvider is not in this onnxruntime" in ended.stderr
    assert "The session option new_option is not set" in ended.stderr
    assert "enable_profiling" not in ended.stderr
    assert "graph_optimization_level" not in ended.stderr


def test_each_component_is_run_one_after_the_other(making: Packages, build):
    parts = [onnx(save(making.place("one/net.onnx"), seed=1)), onnx(save(making.place("two/net.onnx"), seed=2))]
    config = {"model_components": parts, "model_component_names": ["first", "second"]}
    package = making.made("several", {"type": "CompositeModel", "config": config})
    ended = run_dotnet(build(package))
    assert ended.returncode == 0, ended.stderr
    models = sorted((package / CANDIDATE).rglob("*.onnx"))
    assert len(models) == 2
    assert_same(printed(ended.stdout), [line for model in models for line in expected(model, {})])


def test_initializers_in_an_archive_of_numpy_are_said_to_be_for_the_python_sample(making: Packages, packages, build):
    model = save_with_given_initializers(making.place("given/net.onnx"), "weights.npz")
    folder = onnx(model.parent, onnx_file_name="net.onnx", external_initializers_file_name="weights.npz")
    package = making.made("given", folder)
    ended = run_dotnet(build(packages("strings")), str(package / CANDIDATE))
    assert "use the Python sample" in one_sentence(ended)


@pytest.mark.parametrize("kept", [np.savez, np.savez_compressed])
def test_constant_inputs_in_an_archive_of_numpy_are_given_to_the_model(kept, making: Packages, packages, build):
    model = save(making.place("constant/net.onnx"))
    kept(model.with_name("constants.npz"), x=np.full((1, 16), 3 / 17, np.float32))
    folder = onnx(model.parent, onnx_file_name="net.onnx", constant_inputs_file_name="constants.npz")
    package = making.made("constant", folder)
    ended = run_dotnet(build(packages("strings")), str(package / CANDIDATE))
    assert ended.returncode == 0, ended.stderr
    [mine], [other] = printed(ended.stdout), expected(package / CANDIDATE / "model.onnx", {})
    assert (mine.name, mine.shape) == (other.name, other.shape)
    assert mine.values != other.values


def test_a_mistake_gives_one_sentence_and_exit_code_2(packages, build, tmp_path):
    sample = build(packages("external"))
    for arguments, said in (
        (["/nowhere/at/all"], "/nowhere/at/all is no folder"),
        ([str(tmp_path)], "holds no ONNX model: name the folder of a candidate"),
        (["--shape", "x=1,65"], "The input x is of shape ?,64: it cannot be 1,65."),
        (["--shape", "z=1"], "The model has no input z: its inputs are x."),
        (["--shape", "x=1,,2"], "--shape x=1,,2 is not of the form NAME=1,3,224,224."),
        (["--shape", "x"], "--shape x is not of the form NAME=1,3,224,224."),
        (["--shape", "x=99999999,64"], "choose a smaller --shape"),
        (["--shape"], "--shape wants a value"),
        (["--colour", "red"], "usage: Sample"),
    ):
        assert said in one_sentence(run_dotnet(sample, *arguments, cwd=tmp_path))


def test_away_from_its_package_the_sample_asks_for_a_folder(packages, build, tmp_path):
    shutil.copytree(build(packages("external")).parent, tmp_path / "bin", symlinks=True)
    assert f"{CANDIDATE} is not to be found" in one_sentence(run_dotnet(tmp_path / "bin" / "Sample.dll", cwd=tmp_path))


def test_without_the_library_of_onnx_runtime_the_sample_says_so(packages, build, tmp_path):
    shutil.copytree(build(packages("external")).parent, tmp_path / "bin", symlinks=True)
    (tmp_path / "bin" / "libonnxruntime.so").unlink()
    ended = run_dotnet(tmp_path / "bin" / "Sample.dll", str(packages("external") / CANDIDATE))
    assert "The native library of ONNX Runtime cannot be used on this machine" in one_sentence(ended)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("model.onnx", b"{broken", "onnxruntime could not load"),
        ("inference_config.json", b"{broken", "could not be read"),
        ("inference_config.json", b"[" * 1_000_000, "could not be read"),
        ("model_info.json", b'"\\ud800\\u0041', "could not be read"),
        ("model_info.json", b'{"model_config": {"config": {"constant_inputs_file_name": "no.npz"}}}', "no.npz"),
        ("model_info.json", b'{"model_config": {"config": {"constant_inputs_file_name": "model.onnx"}}}', "be read"),
    ],
)
def test_a_broken_file_gives_one_sentence_and_exit_code_2(file, content, said, packages, build, tmp_path):
    shutil.copytree(packages("strings") / CANDIDATE, tmp_path / "broken")
    (tmp_path / "broken" / file).write_bytes(content)
    assert said in one_sentence(run_dotnet(build(packages("strings")), str(tmp_path / "broken")))


def test_names_in_any_script_are_read_from_the_description(packages, build, tmp_path):
    shutil.copytree(packages("strings") / CANDIDATE, tmp_path / "candidate")
    (tmp_path / "candidate" / "ünï 😀").mkdir()
    (tmp_path / "candidate" / "model.onnx").rename(tmp_path / "candidate" / "ünï 😀" / 'the "model".onnx')
    file = tmp_path / "candidate" / "model_info.json"
    info = json.loads(file.read_text())
    info["model_config"]["config"]["model_path"] = f'{CANDIDATE}/ünï 😀/the "model".onnx'
    for escaped in (True, False):
        file.write_text(json.dumps(info, ensure_ascii=escaped), encoding="utf-8")
        ended = run_dotnet(build(packages("strings")), str(tmp_path / "candidate"))
        assert ended.returncode == 0, ended.stderr


def test_operators_of_the_extensions_are_said_to_be_needed(packages, build, tmp_path):
    shutil.copytree(packages("strings") / CANDIDATE, tmp_path / "candidate")
    info = tmp_path / "candidate" / "model_info.json"
    told = json.loads(info.read_text())
    told["model_config"]["config"]["use_ort_extensions"] = True
    info.write_text(json.dumps(told))
    ended = run_dotnet(build(packages("strings")), str(tmp_path / "candidate"))
    assert "dotnet add package Microsoft.ML.OnnxRuntime.Extensions" in one_sentence(ended)


def test_a_shape_that_a_real_model_cannot_take_gives_one_sentence(packages, build):
    said = one_sentence(run_dotnet(build(packages("silero-vad")), "--shape", "input=1,1"))
    assert "The model did not run on these inputs; other shapes may do, see --shape" in said
