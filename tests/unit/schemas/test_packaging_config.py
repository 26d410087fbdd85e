from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from packhouse.schemas.accelerator import Accelerator
from packhouse.schemas.packaging import PACKAGING_CONFIGS, PackagingConfig, PackagingType


def read(value: Any) -> list[PackagingConfig]:
    return PACKAGING_CONFIGS.validate_python(value)


def refused(value: Any) -> tuple[str, str]:
    """Field and sentence of the first complaint."""
    with pytest.raises(ValidationError) as caught:
        read(value)
    error = caught.value.errors()[0]
    return ".".join(map(str, error["loc"])), error["msg"]


def test_one_config_a_list_of_them_and_none_are_all_read_as_a_list() -> None:
    assert read({"type": "Zipfile"}) == read([{"type": "Zipfile"}])
    assert read(None) == read([]) == []
    assert [config.type for config in read([{"type": "Zipfile"}, {"type": "AzureMLData"}])] == [
        "Zipfile",
        "AzureMLData",
    ]


def test_the_defaults_are_those_of_olive_and_the_version_is_the_workers_to_say() -> None:
    (config,) = read({"type": "AzureMLModels"})
    assert config.name == "OutputModels"
    assert config.config.export_in_mlflow_format is False
    assert config.config.version is None
    assert config.config.description is None
    assert read({"type": "AzureMLModels", "config": None}) == [config]


@pytest.mark.parametrize("spelling", ["Zipfile", "zipfile", "ZIPFILE", "zipFile"])
def test_letter_case_of_a_type_does_not_matter(spelling: str) -> None:
    assert read({"type": spelling})[0].type is PackagingType.ZIPFILE


@pytest.mark.parametrize("unknown", ["DockerFile", "", "zip file", 7, None, ["Zipfile"]])
def test_an_unknown_type_is_refused_and_the_known_ones_are_named(unknown: object) -> None:
    field, told = refused([{"type": "Zipfile"}, {"type": unknown, "name": "other"}])
    assert field == "1.type"
    assert "Zipfile, AzureMLModels, AzureMLData" in told


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "a/b",
        "a\\b",
        "",
        ".hidden",
        "..",
        "ends.",
        "-dash",
        "with space",
        "x" * 300,
        "nul",
        "COM1.zip",
        "é",
        "a\n",
    ],
)
def test_a_name_that_is_no_safe_file_or_asset_name_is_refused(name: str) -> None:
    assert refused([{"type": "Zipfile", "name": name}])[0] == "0.name"


def test_a_name_that_is_too_long_is_told_its_length() -> None:
    assert "300 characters" in refused([{"type": "Zipfile", "name": "x" * 300}])[1]


@pytest.mark.parametrize("name", ["OutputModels", "bert-base_v1.2", "7", "a" * 180])
def test_a_safe_name_is_taken_as_it_is(name: str) -> None:
    assert read({"type": "Zipfile", "name": name})[0].name == name


@pytest.mark.parametrize("other", ["bert", "BERT"])
def test_two_packages_of_one_type_and_name_are_refused_letter_case_aside(other: str) -> None:
    field, told = refused([{"type": "zipfile", "name": "bert"}, {"type": "Zipfile", "name": other}])
    assert not field
    assert f"named {other!r}" in told


def test_one_name_may_serve_several_types() -> None:
    assert len(read([{"type": kind, "name": "bert"} for kind in PackagingType])) == 3


@pytest.mark.parametrize(("version", "text"), [(3, "3"), (0, "0"), ("2024.06-rc_1", "2024.06-rc_1")])
def test_a_version_is_a_number_or_a_text(version: object, text: str) -> None:
    assert read({"type": "AzureMLData", "config": {"version": version}})[0].config.version == text


@pytest.mark.parametrize("version", [-1, True, 1.5, "", "a b", "../1", "x" * 31])
def test_a_version_that_no_asset_can_have_is_refused(version: object) -> None:
    assert refused([{"type": "AzureMLData", "config": {"version": version}}])[0] == "0.config.version"


def test_options_of_assets_are_refused_for_a_zip() -> None:
    assert "a Zipfile has neither" in refused({"type": "Zipfile", "config": {"description": "text"}})[1]
    assert read({"type": "Zipfile", "config": {"export_in_mlflow_format": True}})[0].config.export_in_mlflow_format


def test_an_option_that_nobody_knows_is_refused_and_named() -> None:
    assert refused([{"type": "Zipfile", "config": {"export_in_mlflow": True}}])[0] == "0.config.export_in_mlflow"


def test_assets_are_named_as_olive_names_them() -> None:
    config = PackagingConfig(type=PackagingType.AZUREML_MODELS, name="olive_output_model")
    assert config.asset_name(Accelerator.parse("cpu-cpu"), 1) == "olive_output_model_cpu-cpu_1"
