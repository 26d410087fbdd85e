from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import pytest
from support.nuget import nupkg
from support.wheel_index import wheel

from packhouse.worker.runtimes.archives import nuget_version, nupkg_facts, wheel_facts
from packhouse.worker.runtimes.failures import Absent

GOOD_NAME = "onnxruntime-1.20.1-py3-none-any.whl"


def beat(_: int) -> None:
    return None


def saved(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def damaged(data: bytes) -> bytes:
    return data[:200] + bytes(255 - byte for byte in data[200:260]) + data[260:]


def test_a_wheel_says_what_it_is_and_needs(tmp_path: Path) -> None:
    data = wheel("onnxruntime-gpu", "1.20.1", ["numpy>=1.26", 'pyreadline3; sys_platform == "win32"'])
    facts = wheel_facts(saved(tmp_path, "onnxruntime_gpu-1.20.1-py3-none-any.whl", data), "onnxruntime-gpu", beat)
    assert (facts.name, facts.version, facts.size) == ("onnxruntime-gpu", "1.20.1", len(data))
    assert facts.sha256 == hashlib.sha256(data).hexdigest()
    assert facts.requires == ["numpy>=1.26", 'pyreadline3; sys_platform == "win32"']


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        (GOOD_NAME, wheel("onnxruntime", "1.20.1", says="evil"), "says inside that it is 'evil'"),
        ("onnxruntime-1.20.2-py3-none-any.whl", wheel("onnxruntime", "1.20.1"), "says inside"),
        ("onnxruntime.whl", wheel("onnxruntime", "1.20.1"), "not the name of a wheel"),
        (GOOD_NAME, damaged(wheel("onnxruntime", "1.20.1")), "damaged"),
        (GOOD_NAME, b"PK no ZIP", "damaged"),
        (
            GOOD_NAME,
            wheel("onnxruntime", "1.20.1", ["numpy @ file:///etc/passwd"]),
            "from an address of its own",
        ),
        (GOOD_NAME, wheel("onnxruntime", "1.20.1", ["--index-url x"]), "a requirement that is none"),
    ],
)  # fmt: skip
def test_a_wheel_that_is_not_what_was_asked_for_is_refused(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    with pytest.raises(Absent, match=said):
        wheel_facts(saved(tmp_path, name, data), "onnxruntime", beat)


def test_a_nuget_package_says_what_it_is_and_needs(tmp_path: Path) -> None:
    data = nupkg(
        "Microsoft.ML.OnnxRuntime", "1.20.1", [("Microsoft.ML.OnnxRuntime.Managed", "[1.20.1, )"), ("A.B", "2.0")]
    )
    path = saved(tmp_path, "x.nupkg", data)
    facts = nupkg_facts(path, "microsoft.ml.onnxruntime", "1.20.1", beat)
    assert (facts.name, facts.version) == ("Microsoft.ML.OnnxRuntime", "1.20.1")
    assert facts.requires == ["A.B/2.0.0", "Microsoft.ML.OnnxRuntime.Managed/1.20.1"]


def test_what_old_frameworks_need_is_left_out(tmp_path: Path) -> None:
    data = nupkg("A", "1.0.0", [("System.Old", "1.0.0")], framework="net46")
    assert nupkg_facts(saved(tmp_path, "a.nupkg", data), "A", "1.0.0", beat).requires == []


def several_nuspecs() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("a.nuspec", "<package/>")
        archive.writestr("b.nuspec", "<package/>")
    return data.getvalue()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (nupkg("Evil", "1.20.1"), "nuspec says that it is 'Evil'"),
        (nupkg("A", "1.20.2"), "nuspec says that it is 'A' '1.20.2'"),
        (damaged(nupkg("A", "1.20.1")), "damaged"),
        (b"<html>", "damaged"),
        (several_nuspecs(), "does not say what it is"),
        (nupkg("A", "1.20.1", head='<!DOCTYPE package [<!ENTITY a "b">]>'), "document type"),
        (nupkg("A<", "1.20.1"), "not XML"),
    ],
)
def test_a_nuget_package_that_is_not_what_was_asked_for_is_refused(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(Absent, match=said):
        nupkg_facts(saved(tmp_path, "a.nupkg", data), "A", "1.20.1", beat)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("1.20.1", "1.20.1"), ("1.20", "1.20.0"), ("01.020.1", "1.20.1"), ("1.2.3.0", "1.2.3"), ("1.2.3.4", "1.2.3.4"),
        ("1.2.3+build", "1.2.3"), ("1.2.3-RC.1+x", "1.2.3-rc.1"),
    ],
)  # fmt: skip
def test_versions_have_one_spelling_in_nuget(text: str, normal: str) -> None:
    assert nuget_version(text) == normal
