from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from support.sampled import EVERYTHING, PLAIN, sampled

from packhouse.schemas.events import Package
from packhouse.worker.samples.code import sample_code


def project(**more) -> ET.Element:
    made = sample_code(sampled(PLAIN, **more))
    return ET.fromstring(made["SampleCode/csharp/Sample.csproj"].data)


def references(**more) -> dict[str, str]:
    return {each.attrib["Include"]: each.attrib["Version"] for each in project(**more).iter("PackageReference")}


@pytest.mark.parametrize(
    ("reported", "provider", "wanted"),
    [
        ({"onnxruntime": "1.18.1"}, "CPUExecutionProvider", {"Microsoft.ML.OnnxRuntime": "1.18.1"}),
        ({"onnxruntime-gpu": "1.20"}, "CPUExecutionProvider", {"Microsoft.ML.OnnxRuntime.Gpu": "1.20.0"}),
        ({"onnxruntime-gpu": "1.20.1"}, "CUDAExecutionProvider", {"Microsoft.ML.OnnxRuntime.Gpu": "1.20.1"}),
        ({"Onnxruntime_DirectML": "1.21.0"}, "DmlExecutionProvider", {"Microsoft.ML.OnnxRuntime.DirectML": "1.21.0"}),
        ({"onnxruntime-openvino": "1.21.0"}, "OpenVINOExecutionProvider", {"Intel.ML.OnnxRuntime.OpenVino": "1.21.0"}),
        ({"onnxruntime": "1.18.1"}, "CUDAExecutionProvider", {"Microsoft.ML.OnnxRuntime.Gpu": "*"}),
        ({"onnxruntime-rocm": "1.18.0"}, "ROCMExecutionProvider", {"Microsoft.ML.OnnxRuntime": "*"}),
        ({"onnxruntime": "1.22.0.dev20250101"}, "CPUExecutionProvider", {"Microsoft.ML.OnnxRuntime": "1.22.0"}),
        ({}, "CPUExecutionProvider", {"Microsoft.ML.OnnxRuntime": "*"}),
        ({}, "SomeExecutionProvider", {"Microsoft.ML.OnnxRuntime": "*"}),
    ],
)
def test_the_project_asks_for_the_package_of_the_provider_in_the_version_of_the_engine(reported, provider, wanted):
    packages = tuple(Package(name=name, version=version) for name, version in reported.items())
    assert references(packages=packages, execution_providers=(provider, "CPUExecutionProvider")) == wanted


def test_a_runtime_whose_managed_api_is_too_old_for_the_sample_gives_way_to_the_first_that_will_do():
    packages = (Package(name="onnxruntime", version="1.14.1"),)
    assert references(packages=packages) == {"Microsoft.ML.OnnxRuntime": "1.16.0"}


def test_extensions_are_asked_for_where_the_model_has_their_operators():
    packages = (Package(name="onnxruntime", version="1.20.1"), Package(name="onnxruntime-extensions", version="0.13.0"))
    found = references(packages=packages, use_ort_extensions=True)
    assert found == {"Microsoft.ML.OnnxRuntime": "1.20.1", "Microsoft.ML.OnnxRuntime.Extensions": "0.13.0"}


def test_what_is_no_version_does_not_get_into_the_project():
    assert references(packages=(Package(name="onnxruntime", version="nightly"),)) == {"Microsoft.ML.OnnxRuntime": "*"}


def test_the_packages_that_came_along_are_a_source_where_there_are_any():
    [source] = project().iter("RestoreAdditionalProjectSources")
    assert source.text == "$(MSBuildThisFileDirectory)../../ONNXRuntimePackages/nuget"
    [group] = [group for group in project().iter("PropertyGroup") if source.tag in [each.tag for each in group]]
    assert group.attrib["Condition"] == f"Exists('{source.text}')"


def test_the_project_is_for_a_net_of_long_support_in_csharp_10_with_nullable_references():
    told = {each.tag: each.text for group in project().iter("PropertyGroup") for each in group}
    assert (told["TargetFramework"], told["LangVersion"], told["Nullable"]) == ("net8.0", "10", "enable")


def test_the_program_knows_the_shapes_that_work_and_leaves_nothing_to_fill_in():
    made = sample_code(sampled(EVERYTHING, shapes={"x": (1, 2, 3), "count": ()}))
    program = made["SampleCode/csharp/Program.cs"].data.decode()
    assert '["x"] = new long[] { 1, 2, 3 },' in program
    assert '["count"] = new long[] { },' in program
    assert "TODO" not in program
