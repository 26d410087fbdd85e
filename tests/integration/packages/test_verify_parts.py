"""``packhouse verify`` and the parts of a complete package: what is damaged is named."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.reports import made
from support.reports import verdicts as verdicts_of
from support.verifying import LOADED, Files, checks, edited, failed, honest, packed, report, run, spread, unpacked

from packhouse.worker.models.source import find
from packhouse.worker.package.candidate import candidate_folder, candidates_of, default_prefix
from packhouse.worker.package.directories import engine_directories
from packhouse.worker.package.mlflow import mlflow_files
from packhouse.worker.package.scrub import Scrubber
from packhouse.worker.samples.code import sample_code
from packhouse.worker.samples.model import SampleGraph, SampleModel

SAMPLE = "olive-0.6.2-cpu-and-openvino"
FOLDER = "CandidateModels/cpu-cpu/BestCandidateModel_1"
MLMODEL = f"{FOLDER}/MLmodel"
LOCK = "ONNXRuntimePackages/packages.lock.json"
WHEEL = "ONNXRuntimePackages/python/onnxruntime-1.18.1-cp311-cp311-manylinux_2_27_x86_64.whl"
NUGET = "ONNXRuntimePackages/nuget/microsoft.ml.onnxruntime.1.18.1.nupkg"
PAGE = b"<!doctype html><html lang=en><title>Why</title><style>p { color: red }</style><a href=https://x.test>more</a>"
MISSING = {"what": "onnxruntime-openvino 1.18.0", "reason": "there is no such wheel"}

Change = Callable[[Any], object]
MADE: Files = {}


def locked(path: str, data: bytes, name: str) -> dict[str, Any]:
    return {
        "kind": path.split("/")[1], "name": name, "version": "1.18.1", "file": path.partition("/")[2],
        "size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "dependency": False, "targets": [],
        "execution_providers": ["CPUExecutionProvider"],
    }  # fmt: skip


def verdicts(files: Files) -> list[dict[str, Any]]:
    infos = [json.loads(data) for path, data in files.items() if path.endswith("/model_info.json")]
    one = {"state": "passed", "reason": None, "execution_provider": "CPUExecutionProvider", "ran": True}
    other = {**one, "state": "not_checked", "reason": "the worker has no OpenVINO", "ran": False}
    keys = ("rank", "accelerator", "rank_in_accelerator", "model_id")
    return [
        {**{key: info[key] for key in keys}, "verdict": one if info["rank"] < 3 else other}
        for info in sorted(infos, key=lambda info: info["rank"])
    ]


@pytest.fixture
def complete(farm) -> Files:
    """Every file of a package that has all parts; made once."""
    if not MADE:
        MADE.update(_complete(farm))
    return dict(MADE)


def _complete(farm) -> Files:
    event = farm.sample(SAMPLE)
    path, _ = farm.pour(event)
    parts = ("SampleCode/", "ONNXRuntimePackages/", "report.html")
    files = {name: data for name, data in unpacked(path).items() if not name.startswith(parts)}
    job = farm.job(event)
    scrub = Scrubber(engine_directories(event, job.mapping))
    for each in candidates_of(event, job.ranking, lambda model: find(model, job.locate, job.storage)):
        folder = candidate_folder(each, scrub, default_prefix(each.ranked))
        files |= {path: made.data for path, made in mlflow_files(each, folder, None, event.engine).items()}
    best = SampleModel(FOLDER, "ONNXModel", (SampleGraph("model.onnx"),), ("CPUExecutionProvider",))
    files |= {path: made.data for path, made in sample_code(best).items()}
    packages = {WHEEL: (b"wheel", "onnxruntime"), NUGET: (b"package", "Microsoft.ML.OnnxRuntime")}
    lock = {"files": [locked(path, data, name) for path, (data, name) in packages.items()], "unavailable": [MISSING]}
    files |= {path: data for path, (data, _) in packages.items()}
    files |= {"report.html": PAGE, LOCK: json.dumps(lock).encode()}
    said = {"format": 2, "checks": verdicts(files), "unavailable": [MISSING]}
    return honest(edited(files, "manifest.json", lambda manifest: manifest.update(said)))


@pytest.fixture
def damaged(complete: Files, tmp_path: Path, monkeypatch) -> Callable[..., dict[str, list[str]]]:
    """What is found once files are changed, or taken out (None), with a manifest that agrees. No model is loaded."""
    monkeypatch.setattr("packhouse.worker.verify.models.tried", lambda *_: LOADED)

    def find_out(changes: dict[str, bytes | Change | None]) -> dict[str, list[str]]:
        files = dict(complete)
        for path, change in changes.items():
            if change is None:
                del files[path]
            elif callable(change):
                files = edited(files, path, change)
            else:
                files[path] = change
        return failed(packed(tmp_path / "x.zip", honest(files)))

    return find_out


def test_a_complete_package_is_sound_and_every_check_looked_at_something(complete: Files, tmp_path: Path) -> None:
    found = report(packed(tmp_path / "x.zip", complete))
    assert {check["state"] for check in found["checks"]} == {"ok"}
    assert (found["ok"], found["format"], found["unavailable"]) == (True, 2, [MISSING])
    told = {check["name"]: check["message"].rpartition(": ")[2] for check in found["checks"]}
    assert told["verdicts"] == "2 passed, 1 not checked"
    assert told["mlflow"] == told["ranks"] == "3 candidates"
    assert told["runtimes"] == "1 wheel and 1 NuGet package, 12 bytes"
    assert "Python files compile" in told["samples"]


def test_people_are_told_of_verdicts_and_of_what_is_missing(complete: Files, tmp_path: Path) -> None:
    text = run(packed(tmp_path / "x.zip", complete)).stdout
    assert "    rank 3 (cpu-openvino): not checked: the worker has no OpenVINO\n" in text
    assert "! not in the package: onnxruntime-openvino 1.18.0: there is no such wheel\n" in text
    assert "✓ verdicts   " in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda document: document["checks"].pop(), "2 verdicts for 3 candidates"),
        (lambda document: document["checks"].reverse(), "one verdict for each rank, in order"),
        (lambda document: document["checks"][0].update(model_id="x"), "the verdict on rank 1 is about another model"),
        (lambda document: document.update(checks=[]), "0 verdicts for 3 candidates"),
    ],
)
def test_a_verdict_that_is_missing_or_about_another_model_is_found(damaged, change: Change, words: str) -> None:
    findings = damaged({"manifest.json": change})
    assert set(findings) == {"verdicts"}
    assert words in findings["verdicts"][0]


@pytest.mark.parametrize(
    ("path", "change", "words"),
    [
        (MLMODEL, lambda doc: doc["flavors"]["onnx"].update(data="other.onnx"), "'other.onnx'"),
        (MLMODEL, lambda doc: doc["flavors"].pop("python_function"), "no flavor python_function"),
        (MLMODEL, lambda doc: doc["flavors"]["onnx"].update(providers=["CUDAExecutionProvider"]), "providers"),
        (MLMODEL, lambda doc: doc.update(signature={"inputs": "[", "outputs": None}), "signature"),
        (MLMODEL, b"flavors: [", "cannot be read"),
        (f"{FOLDER}/conda.yaml", b"\xff", "conda.yaml cannot be read"),
        (f"{FOLDER}/requirements.txt", b"", "requirements.txt is empty"),
        (f"{FOLDER}/python_env.yaml", None, "python_env.yaml is missing"),
    ],
)
def test_an_mlflow_file_that_is_wrong_is_found(damaged, path: str, change: Any, words: str) -> None:
    findings = damaged({path: change})
    assert set(findings) == {"mlflow"}
    assert all(finding.startswith(FOLDER) for finding in findings["mlflow"])
    assert any(words in finding for finding in findings["mlflow"]), findings


def test_a_candidate_without_the_mlflow_files_that_others_have_is_found(complete: Files, damaged) -> None:
    own = ("MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt")
    assert damaged({f"{FOLDER}/{name}": None for name in own}) == {
        "mlflow": [f"{FOLDER} is not in the MLflow format, as others are"]
    }
    # Without their MLmodel the others belong to nothing.
    assert set(damaged({MLMODEL: None})) == {"mlflow", "candidates"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"SampleCode/README.md": None}, "README.md is missing"),
        ({"SampleCode/python/broken.py": b"def run(:\n"}, "broken.py': "),
        ({"SampleCode/python/deep.py": b"(" * 100_000}, "deep.py': "),
        ({"SampleCode/python/odd.py": b"x = '\xff'"}, "cannot be read as text"),
        ({"SampleCode/csharp/Broken.csproj": b"<Project><a></Project>"}, "Broken.csproj': "),
        ({"SampleCode/csharp/broken.json": b"{"}, "broken.json': "),
        ({"SampleCode/python/__pycache__/sample.pyc": b"x"}, "was compiled"),
        ({"SampleCode/python/more.py": b"F = 'CandidateModels/cpu-cpu/BestCandidateModel_9'"}, "Model_9', which"),
    ],
)  # fmt: skip
def test_sample_code_that_is_none_is_found(damaged, changes: dict[str, Any], words: str) -> None:
    findings = damaged(changes)
    assert set(findings) == {"samples"}
    assert any(words in finding for finding in findings["samples"]), findings


def test_sample_code_is_compiled_and_never_run(complete: Files, damaged, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    assert damaged({"SampleCode/python/more.py": f"open({str(mark)!r}, 'w')\n".encode()}) == {}
    assert not mark.exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({WHEEL: b"WHEEL"}, "has another sha256 than the lock file says"),
        ({WHEEL: b"longer"}, "has 6 bytes, and the lock file says 5"),
        ({WHEEL: None}, "is locked and not there"),
        ({LOCK: lambda lock: lock["files"].pop()}, f"'{NUGET}' is not in the lock file"),
        ({LOCK: lambda lock: lock["files"].append(lock["files"][0])}, "is locked twice"),
        ({LOCK: lambda lock: lock["files"][0].update(name="numpy")}, "is not named after numpy 1.18.1"),
        ({LOCK: lambda lock: lock["files"][0].update(version="1.2")}, "is not named after onnxruntime 1.2"),
        ({LOCK: lambda lock: lock["files"][0].update(kind="nuget")}, "is no file of kind nuget"),
        ({LOCK: lambda lock: lock["files"][0].update(file="../x.whl")}, "is no safe path"),
        ({LOCK: lambda lock: lock.update(format=9)}, "has format 9"),
        ({LOCK: b"{}"}, "files"),
        ({LOCK: None}, "is missing"),
    ],
)
def test_runtime_packages_that_are_not_those_of_the_lock_file_are_found(
    damaged, changes: dict[str, Any], words: str
) -> None:
    findings = damaged(changes)
    assert set(findings) == {"runtimes"}
    assert any(words in finding for finding in findings["runtimes"]), findings


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (b'<p><img src="https://x.test/a.png">', "<img src> loads 'https://x.test/a.png'"),
        (b'<p><script src="a.js"></script>', "<script src> loads 'a.js'"),
        (b'<link rel=stylesheet href="//x.test/a.css">', "<link href>"),
        (b"<style>@import 'a.css';</style>", "its style loads 'a.css'"),
        (b"<style>p{background:url( http://x.test/a )}</style>", "its style loads 'http://x.test/a'"),
        (b'<p style="background:url(a.png)">', "its style loads 'a.png'"),
        (b"<script>fetch('/x')</script>", "its script uses fetch"),
        (b'<svg><use xlink:href="a.svg#b"/></svg>', "<use xlink:href>"),
        (b'<meta http-equiv="Refresh" content="0;url=/">', "leads on to another page"),
        (b'<base href="https://x.test/">', "<base>"),
        (b'<iframe srcdoc="x" src="/x"></iframe>', "<iframe src>"),
        (b"only text", "is no HTML"),
        (None, "report.html is missing"),
    ],
)
def test_a_report_that_needs_a_network_or_is_not_there_is_found(damaged, page: bytes | None, words: str) -> None:
    findings = damaged({"report.html": page})
    assert set(findings) == {"report"}
    assert any(words in finding for finding in findings["report"]), findings


def test_a_report_may_hold_images_styles_links_and_anchors_of_its_own(damaged) -> None:
    page = (
        b'<style>p{background:url(data:image/png;base64,AA)}</style><img src="data:image/png;base64,AA"><a href="x">'
        b'<svg><use href="#a"/></svg><script>document.title = "fetched"</script><p data-src="a.png">'
    )
    assert damaged({"report.html": page}) == {}


def test_the_report_that_packages_are_given_needs_nothing_but_itself(farm, damaged) -> None:
    event = farm.sample(SAMPLE)
    assert damaged({"report.html": made(event, checks=verdicts_of(event))}) == {}


def test_a_package_of_the_first_format_is_sound_without_what_came_later(complete: Files, tmp_path: Path) -> None:
    later = ("SampleCode/", "ONNXRuntimePackages/", "report.html")
    mlflow = ("/MLmodel", "/conda.yaml", "/python_env.yaml", "/requirements.txt")
    files = {path: data for path, data in complete.items() if not path.startswith(later) and not path.endswith(mlflow)}

    def earlier(manifest: Any) -> None:
        del manifest["checks"]
        manifest.update(format=1, unavailable=[])

    path = packed(tmp_path / "x.zip", honest(edited(files, "manifest.json", earlier)))
    found = checks(path)
    assert {name for name, check in found.items() if check["state"] == "skipped"} == {
        "verdicts", "mlflow", "samples", "runtimes", "report",
    }  # fmt: skip
    assert failed(path) == {}


def test_a_format_from_the_future_is_named_and_not_guessed_at(damaged) -> None:
    findings = damaged({"manifest.json": lambda manifest: manifest.update(format=3, colour="blue")})
    assert set(findings) == {"manifest"}
    assert "the package has format 3" in findings["manifest"][0]
    assert set(damaged({"manifest.json": lambda manifest: manifest.update(format=0)})) == {"manifest"}


def test_a_folder_that_was_unpacked_is_verified_like_its_zip(complete: Files, tmp_path: Path) -> None:
    in_zip = report(packed(tmp_path / "x.zip", complete))
    in_folder = report(spread(tmp_path / "x", complete))
    for each in (in_zip, in_folder):
        each["checks"] = {check["name"]: check for check in each["checks"] if check["name"] != "archive"}
        del each["package"], each["bytes"]
    assert in_zip == in_folder
    (tmp_path / "x" / WHEEL).write_bytes(b"WHEEL")
    (tmp_path / "x" / "stray").touch()
    assert set(failed(tmp_path / "x")) == {"digests", "files"}


def test_links_in_a_folder_are_found_and_never_followed(complete: Files, tmp_path: Path) -> None:
    folder = spread(tmp_path / "x", complete)
    (tmp_path / "secret").write_bytes(complete["report.html"])
    (folder / "report.html").unlink()
    (folder / "report.html").symlink_to(tmp_path / "secret")
    (folder / "more").symlink_to(tmp_path, target_is_directory=True)
    found = checks(folder)
    assert found["archive"]["findings"] == [
        f"'{name}' is a link or another thing that is no file" for name in ("more", "report.html")
    ]
    assert all(check["state"] == "skipped" for name, check in found.items() if name != "archive")
