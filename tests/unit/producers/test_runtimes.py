from __future__ import annotations

from importlib import metadata

import pytest

from packhouse.producers.runtimes import RUNTIMES, detect, joined, parse
from packhouse.schemas import Package, PackhouseError


def test_detected_are_the_installed_ones_of_the_table() -> None:
    found = detect()
    assert {each.name for each in found} <= set(RUNTIMES)
    assert Package(name="onnxruntime", version=metadata.version("onnxruntime")) in found


def test_name_and_version_are_parsed() -> None:
    assert parse("onnxruntime-gpu == 1.20.1+cu12") == Package(name="onnxruntime-gpu", version="1.20.1+cu12")


@pytest.mark.parametrize(
    "text", ["", "onnxruntime", "onnxruntime=1", "onnxruntime>=1", "==1", "a==", "-x==1", "a==1 b"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(PackhouseError, match="is not a runtime package"):
        parse(text)


def test_a_version_that_is_given_goes_before_one_that_is_detected() -> None:
    detected = [parse("openvino==1"), parse("onnxruntime==1")]
    assert joined(detected, [parse("onnxruntime==2")]) == [parse("onnxruntime==2"), parse("openvino==1")]
