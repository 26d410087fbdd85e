from __future__ import annotations

import pytest

from packhouse.schemas import Package
from packhouse.schemas.accelerator import EXECUTION_PROVIDERS
from packhouse.worker.runtimes.table import BUILDS, EVERY_BUILD, GENERATIVE, NUGET
from packhouse.worker.runtimes.wanted import Needs, needs


def reported(*texts: str) -> list[Package]:
    return [Package(name=name, version=version) for name, _, version in (text.partition("==") for text in texts)]


def wanted(found: Needs) -> dict[str, tuple[list[str], list[str]]]:
    """Name of each set to its providers and its packages."""
    return {each.name: (each.providers, [f"{one.name}=={one.version}" for one in each.packages]) for each in found.sets}


def plain(packages: list[Package], *providers: str) -> Needs:
    return needs(packages, providers, generative=False, extensions=False)


def test_the_table_names_known_execution_providers_and_builds_alone() -> None:
    assert set(BUILDS) <= set(EXECUTION_PROVIDERS.values())
    assert {build for builds in BUILDS.values() for build in builds} == set(EVERY_BUILD)
    assert set(GENERATIVE) <= set(EVERY_BUILD)
    assert set(NUGET) <= {*EVERY_BUILD, *GENERATIVE.values(), "onnxruntime-extensions"}


def test_each_provider_gets_its_own_build_in_its_own_version() -> None:
    found = plain(
        reported("onnxruntime==1.18.1", "onnxruntime-gpu==1.17.0"), "CUDAExecutionProvider", "CPUExecutionProvider"
    )
    assert wanted(found) == {
        "onnxruntime": (["CPUExecutionProvider"], ["onnxruntime==1.18.1"]),
        "onnxruntime-gpu": (["CUDAExecutionProvider"], ["onnxruntime-gpu==1.17.0"]),
    }
    assert found.unavailable == []


def test_an_engine_with_one_build_measured_its_cpu_candidates_with_it() -> None:
    found = plain(reported("onnxruntime-gpu==1.17.0"), "CPUExecutionProvider", "CUDAExecutionProvider")
    assert wanted(found) == {
        "onnxruntime-gpu": (["CPUExecutionProvider", "CUDAExecutionProvider"], ["onnxruntime-gpu==1.17.0"])
    }


def test_the_version_of_another_package_is_never_taken() -> None:
    found = plain(reported("onnxruntime==1.18.1"), "CUDAExecutionProvider")
    assert found.sets == []
    (entry,) = found.unavailable
    assert entry.what == "onnxruntime-gpu"
    assert entry.reason == "The engine reported no version of it; --runtime or --detect-runtimes does."


def test_a_provider_that_no_package_is_known_for_is_named() -> None:
    (entry,) = plain(reported("onnxruntime==1.18.1"), "RknpuExecutionProvider").unavailable
    assert "RknpuExecutionProvider" in entry.what


@pytest.mark.parametrize("spelling", ["onnxruntime-gpu", "ONNXRuntime_GPU", "onnxruntime.gpu"])
def test_names_are_compared_as_python_does_and_come_from_the_table(spelling: str) -> None:
    found = plain(reported(f"{spelling}==1.17"), "CUDAExecutionProvider")
    assert wanted(found)["onnxruntime-gpu"][1] == ["onnxruntime-gpu==1.17"]


@pytest.mark.parametrize(
    ("packages", "said"),
    [
        (["onnxruntime==1.18.1", "ONNXRuntime==1.19.0"], "several versions of it: 1.18.1, 1.19.0"),
        (["onnxruntime==latest"], "no version of a Python package"),
        (["onnxruntime==1.18.1-"], "no version of a Python package"),
    ],
)
def test_what_is_no_version_or_more_than_one_is_not_fetched(packages: list[str], said: str) -> None:
    found = plain(reported(*packages), "CPUExecutionProvider")
    assert found.sets == []
    assert said in found.unavailable[0].reason


def test_generative_and_extensions_packages_belong_to_the_build() -> None:
    packages = reported(
        "onnxruntime-gpu==1.20.1", "onnxruntime-genai==0.4.0", "onnxruntime-genai-cuda==0.5.0",
        "onnxruntime-extensions==0.12.0",
    )  # fmt: skip
    found = needs(packages, ["CUDAExecutionProvider"], generative=True, extensions=True)
    assert wanted(found)["onnxruntime-gpu"][1] == [
        "onnxruntime-gpu==1.20.1", "onnxruntime-genai-cuda==0.5.0", "onnxruntime-extensions==0.12.0",
    ]  # fmt: skip
    without = needs(packages, ["CUDAExecutionProvider"], generative=False, extensions=False)
    assert wanted(without)["onnxruntime-gpu"][1] == ["onnxruntime-gpu==1.20.1"]


def test_a_build_without_a_generative_package_says_so() -> None:
    found = needs(reported("onnxruntime-qnn==1.20.1"), ["QNNExecutionProvider"], generative=True, extensions=False)
    assert [entry.what for entry in found.unavailable] == ["a runtime for generative models beside onnxruntime-qnn"]
    assert wanted(found)["onnxruntime-qnn"][1] == ["onnxruntime-qnn==1.20.1"]
