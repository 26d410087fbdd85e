"""``packhouse verify``: a sound package passes, and whatever is wrong with one is named."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.verifying import LOADED, checks, edited, failed, honest, packed, report, run, unpacked

from packhouse.schemas.files import Manifest
from packhouse.worker.models.trial import Outcome, Trial

SAMPLE = "olive-0.6.2-cpu-and-openvino"
FOLDER = "CandidateModels/cpu-cpu/BestCandidateModel_1"
ALWAYS = {"archive", "manifest", "files", "digests", "ranks", "candidates", "models"}
Model = Callable[..., Path]


def config_of(entry: Any) -> Any:
    return entry["model_config"]["config"]


@pytest.fixture
def package(farm) -> Path:
    path, _ = farm.pour(farm.sample(SAMPLE))
    return path


@pytest.mark.parametrize("sample", [SAMPLE, "olive-0.13.0-search"])
def test_a_package_of_a_real_run_is_sound(farm, sample: str) -> None:
    path, poured = farm.pour(farm.sample(sample))
    found = report(path)
    assert found["ok"] is True
    states = {check["name"]: check["state"] for check in found["checks"]}
    assert {name for name, state in states.items() if state == "ok"} >= ALWAYS
    assert "failed" not in states.values()
    assert found["digest"] == poured.digest
    assert found["files"] == poured.files
    assert found["bytes"] == poured.bytes


def test_models_with_external_data_and_of_other_formats_are_sound(farm, model: Model) -> None:
    beside = model(farm.root / "a" / "net.onnx", external="weights/net.bin")
    folder = model(farm.root / "b" / "net.onnx", external="net.data", seed=1).parent
    other = farm.root / "ir"
    other.mkdir()
    (other / "model.xml").write_text("<net/>")
    (other / "model.bin").write_bytes(b"weights")
    path, _ = farm.pour(
        farm.made_up(
            {"model_path": farm.engine_path(beside)},
            {"model_path": farm.engine_path(folder), "onnx_file_name": "net.onnx"},
            {"type": "OpenVINOModel", "model_path": farm.engine_path(other)},
        )
    )
    assert failed(path) == {}


def test_people_read_a_line_for_each_check_and_a_summary(package: Path) -> None:
    result = run(package)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    told = [line for line in lines if line[0] in "✓-"]
    assert [line.split()[1] for line in told] == [check["name"] for check in report(package)["checks"]]
    for words in ("models_rank.json is valid and its paths exist: 3 candidates", "every ONNX model loads: 3 models"):
        assert any(line.endswith(words) for line in told)
    count = len(unpacked(package))
    assert f"is sound: {count} files, " in lines[-1]
    assert any(f"and no others: {count - 1} files" in line for line in told)
    broken = run(packed(package, {**unpacked(package), "stray.txt": b"x"}))
    assert broken.exit_code == 1
    assert "✗ files" in broken.stdout
    assert "'stray.txt' is not in the manifest" in broken.stdout
    assert "NOT sound: 1 finding" in broken.stdout


def test_a_flipped_byte_of_a_model_is_found(package: Path) -> None:
    with zipfile.ZipFile(package) as archive:
        entry = archive.getinfo(f"{FOLDER}/model.onnx")
    raw = bytearray(package.read_bytes())
    raw[entry.header_offset + 2000] ^= 1
    package.write_bytes(raw)
    findings = failed(package)["digests"]
    assert len(findings) == 1
    assert f"{FOLDER}/model.onnx" in findings[0]


def test_a_changed_file_is_found_even_when_the_archive_agrees_with_it(package: Path) -> None:
    files = unpacked(package)
    path = f"{FOLDER}/metrics.json"
    same_size = files[path].replace(b"0.9", b"0.8", 1)
    assert same_size != files[path]
    assert failed(packed(package, {**files, path: same_size}))["digests"] == [
        f"'{path}' has another sha256 than the manifest says"
    ]
    assert failed(packed(package, {**files, path: files[path] + b" "}))["digests"] == [
        f"'{path}' has {len(files[path]) + 1} bytes, not {len(files[path])}"
    ]


def test_a_missing_file_is_found(package: Path) -> None:
    files = unpacked(package)
    del files[f"{FOLDER}/inference_config.json"]
    findings = failed(packed(package, files))
    assert findings["files"] == [f"'{FOLDER}/inference_config.json' is missing"]
    assert f"'{FOLDER}/inference_config.json' is missing" in findings["candidates"][0]


def test_an_extra_file_is_found(package: Path) -> None:
    path = f"{FOLDER}/extra.bin"
    findings = failed(packed(package, {**unpacked(package), path: b"x"}))
    assert findings == {
        "files": [f"'{path}' is not in the manifest"],
        "candidates": [f"{FOLDER}: model_info.json lists other files than there are"],
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda ranks: config_of(ranks[0]).update(model_path=f"{FOLDER}/nope.onnx"), "not in the package"),
        (lambda ranks: config_of(ranks[0]).update(model_path="/srv/olive/m.onnx"), "not in a candidate's"),
        (lambda ranks: config_of(ranks[0]).update(onnx_file_name="old.onnx"), "onnx_file_name is 'old.onnx'"),
        (lambda ranks: ranks[1].update(rank=1), "the ranks are [1, 1, 3]"),
        (lambda ranks: ranks.pop(), "has no rank"),
        (lambda ranks: ranks[0].pop("metrics"), "metrics"),
        (lambda ranks: ranks[0].update(score=1), "score"),
    ],
)  # fmt: skip
def test_a_rank_file_that_is_wrong_is_found(package: Path, change: Callable[[Any], None], words: str) -> None:
    files = edited(unpacked(package), "models_rank.json", change)
    findings = failed(packed(package, honest(files)))
    assert any(words in finding for finding in findings["ranks"]), findings


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("model_info.json", lambda info: info.update(rank=7), "says rank 7"),
        ("model_info.json", lambda info: info.update(rank_in_accelerator=2), "number 2 of cpu-cpu"),
        ("model_info.json", lambda info: config_of(info).update(model_path="x"), "another model"),
        ("metrics.json", lambda doc: doc.update(candidate_model_metrics=None), "other metrics"),
        ("inference_config.json", lambda doc: doc.update(execution_provider="CPU"), "execution_provider"),
        ("configurations.json", lambda doc: doc.popitem(), "another lineage"),
    ],
)
def test_a_candidates_file_that_is_wrong_is_found(
    package: Path, name: str, change: Callable[[Any], None], words: str
) -> None:
    files = edited(unpacked(package), f"{FOLDER}/{name}", change)
    findings = failed(packed(package, honest(files)))
    assert any(words in finding for finding in findings["candidates"]), findings


def test_a_model_that_does_not_load_is_found(package: Path) -> None:
    files = {**unpacked(package), f"{FOLDER}/model.onnx": b"\x08\x08:\x02\n\x00"}
    findings = failed(packed(package, honest(files)))
    assert set(findings) == {"models"}
    assert "it does not load" in findings["models"][0].lower()


def test_a_model_whose_external_data_is_missing_or_short_is_found(farm, model: Model) -> None:
    path, poured = farm.pour(
        farm.made_up({"model_path": farm.engine_path(model(farm.root / "a" / "net.onnx", external="net.bin"))})
    )
    files = unpacked(path)
    weights = f"{poured.models[0]}/net.bin"
    short = packed(path, honest({**files, weights: files[weights][:100]}))
    assert set(failed(short)) == {"models"}
    del files[weights]
    findings = failed(packed(path, files))["models"]
    assert any("net.bin" in finding for finding in findings)


def test_equal_models_are_loaded_once(farm, model: Model, monkeypatch) -> None:
    shared = farm.engine_path(model(farm.root / "m.onnx"))
    path, _ = farm.pour(farm.made_up({"model_path": shared}, {"model_path": shared, "inference_settings": {}}))
    loaded: list[str] = []

    def load(trial: Trial, *_: object) -> Outcome:
        loaded.append(trial.model.main)
        return LOADED

    monkeypatch.setattr("packhouse.worker.verify.models.tried", load)
    assert failed(path) == {}
    assert len(loaded) == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../escape.txt", "unsafe path"),
        ("/etc/passwd", "unsafe path"),
        ("a\\b.txt", "unsafe path"),
        ("Manifest.json", "are one somewhere"),
    ],
)
def test_a_path_that_could_do_harm_is_found(package: Path, name: str, words: str) -> None:
    findings = failed(packed(package, {**unpacked(package), name: b"x"}))
    assert any(words in finding for finding in findings["archive"])


def test_a_file_that_is_there_twice_is_found(package: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(package, "a") as archive:
        archive.writestr("models_rank.json", b"[]")
    assert failed(package)["archive"] == ["'models_rank.json' is there twice"]


def test_a_link_is_found(package: Path) -> None:
    with zipfile.ZipFile(package, "a") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    assert "'link' is a link or another thing that is no file" in failed(package)["archive"]


def test_bytes_that_belong_to_no_file_and_files_that_overlap_are_found(package: Path) -> None:
    whole = package.read_bytes()
    package.write_bytes(b"#!/bin/sh\n" + whole)
    assert any("belong to no file" in finding for finding in failed(package)["archive"])
    package.write_bytes(whole)
    with zipfile.ZipFile(package) as archive:
        first, second = archive.infolist()[:2]
        directory = archive.start_dir
    record = bytearray(whole)
    at = whole.index(second.filename.encode(), directory) - 46 + 42
    record[at : at + 4] = first.header_offset.to_bytes(4, "little")
    package.write_bytes(record)
    assert any("overlaps" in finding for finding in failed(package)["archive"])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda whole: b"",
        lambda whole: b"not a zip at all",
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[len(whole) // 2 :],
        lambda whole: whole[:-1],
        lambda whole: whole[:-30] + b"\0" * 30,
    ],
    ids=["empty", "text", "first half", "second half", "last byte gone", "end zeroed"],
)
def test_what_is_no_whole_zip_is_a_finding_and_no_traceback(package: Path, spoil: Callable[[bytes], bytes]) -> None:
    package.write_bytes(spoil(package.read_bytes()))
    assert "archive" in failed(package)
    result = run(package)
    assert result.exit_code == 1
    assert "Traceback" not in result.output


def test_a_flipped_bit_in_any_file_is_a_finding_and_no_traceback(package: Path, monkeypatch) -> None:
    monkeypatch.setattr("packhouse.worker.verify.models.tried", lambda *_: LOADED)
    whole = package.read_bytes()
    with zipfile.ZipFile(package) as archive:
        starts = [entry.header_offset + 30 + len(entry.filename) for entry in archive.infolist()]
        middles = [start + entry.compress_size // 2 for start, entry in zip(starts, archive.infolist(), strict=True)]
    for at in middles:
        spoiled = bytearray(whole)
        spoiled[at] ^= 0x10
        package.write_bytes(spoiled)
        result = run(package, "--json")
        assert result.exception is None or isinstance(result.exception, SystemExit), at
        assert result.exit_code == 1, at


def test_a_directory_that_misleads_is_a_finding_and_no_traceback(package: Path, monkeypatch) -> None:
    monkeypatch.setattr("packhouse.worker.verify.models.tried", lambda *_: LOADED)
    whole = package.read_bytes()
    with zipfile.ZipFile(package) as archive:
        start, last = archive.start_dir, whole.rindex(b"PK\x01\x02")
    # Signature, flags, method, CRC, sizes, lengths, offset and name; not times, versions and attributes.
    telling = [*range(4), 8, 10, *range(16, 34), *range(42, 46), 46, 50]
    for record in (start, last):
        for field in telling:
            spoiled = bytearray(whole)
            spoiled[record + field] ^= 0x02
            package.write_bytes(spoiled)
            result = run(package, "--json")
            assert result.exception is None or isinstance(result.exception, SystemExit), (record, field)
            assert result.exit_code == 1, (record == last, field)


def test_a_zip_that_is_no_package_of_ours_is_a_finding(tmp_path: Path) -> None:
    path = packed(tmp_path / "x.zip", {"hello.txt": b"hello"})
    states = {name: check["state"] for name, check in checks(path).items()}
    assert {name for name, state in states.items() if state == "ok"} == {"archive"}
    assert {name for name, state in states.items() if state == "failed"} == {"manifest", "ranks"}


def test_a_wrong_command_is_a_usage_error(tmp_path: Path) -> None:
    assert run(tmp_path / "nothing.zip").exit_code == 2
    assert run().exit_code == 2


def test_the_command_itself_never_loads_onnxruntime(package: Path) -> None:
    code = (
        "import sys; from packhouse.worker.cli.verify import verify; heavy = set(sys.modules)\n"
        "try: verify([sys.argv[1]])\n"
        "except SystemExit as done: status = done.code\n"
        "assert status == 0, status\n"
        "assert not any(name.split('.')[0] in ('onnxruntime', 'numpy', 'onnx') for name in sys.modules)\n"
        "assert not any(name.split('.')[0] in ('pydantic', 'rich', 'celery') for name in heavy)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(package)], check=True, env={**os.environ, "NO_COLOR": "1"})


def test_the_manifest_in_a_package_is_read_by_the_contract(package: Path) -> None:
    assert Manifest.model_validate_json(unpacked(package)["manifest.json"]).name == "Models"
