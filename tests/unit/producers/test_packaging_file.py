from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from packhouse.producers.packaging_file import read_packaging_configs
from packhouse.schemas import ErrorCode, PackagingType, PackhouseError

ZIP = {"type": "zipfile", "name": "A"}


def write(folder: Path, value: Any) -> Path:
    path = folder / "packaging.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


@pytest.mark.parametrize(
    "value",
    [
        ZIP,
        [ZIP],
        {"packaging_config": ZIP, "passes": {}},
        {"engine": {"packaging_config": [ZIP]}, "input_model": {}},
    ],
)
def test_a_config_a_list_and_both_kinds_of_olive_configuration_are_read(tmp_path: Path, value: Any) -> None:
    (config,) = read_packaging_configs(write(tmp_path, value))
    assert (config.type, config.name) == (PackagingType.ZIPFILE, "A")


@pytest.mark.parametrize("sample", ["olive-0.6.2-cpu-and-openvino", "olive-0.13.0-search"])
def test_the_configurations_of_the_samples_are_read(data: Path, sample: str) -> None:
    (config,) = read_packaging_configs(data / sample / "config.json")
    assert (config.type, config.name) == (PackagingType.ZIPFILE, "DigitsPackage")


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ("{", None),
        ({"passes": {}}, None),
        ({"type": "Tarball"}, "type"),
        ([ZIP, {"type": "Zipfile", "name": "../x"}], "1.name"),
        ({"engine": {"packaging_config": {"type": "Zipfile", "nam": "x"}}}, "engine.packaging_config.0.nam"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_field(tmp_path: Path, value: Any, field: str | None) -> None:
    path = write(tmp_path, value)
    with pytest.raises(PackhouseError) as caught:
        read_packaging_configs(path)
    assert caught.value.code is ErrorCode.PACKAGING_CONFIG_INVALID
    assert str(path) in caught.value.message
    assert (caught.value.field or "").endswith(field or "")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PackhouseError, match=r"gone\.json: .*cannot be read"):
        read_packaging_configs(tmp_path / "gone.json")
