from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from packhouse.schemas.accelerator import DEVICES, EXECUTION_PROVIDERS, Accelerator

accelerators = st.builds(
    Accelerator,
    device=st.sampled_from(DEVICES),
    execution_provider=st.sampled_from(sorted(EXECUTION_PROVIDERS.values())),
)


@given(accelerators)
def test_the_short_form_names_the_same_accelerator(accelerator: Accelerator) -> None:
    assert Accelerator.parse(str(accelerator)) == accelerator
    assert Accelerator.model_validate_json(accelerator.model_dump_json()) == accelerator


def test_two_accelerators_never_share_a_short_form() -> None:
    everyone = [
        Accelerator(device=device, execution_provider=provider)
        for device in DEVICES
        for provider in EXECUTION_PROVIDERS.values()
    ]
    assert len({str(accelerator) for accelerator in everyone}) == len(everyone)


@pytest.mark.parametrize(
    ("given_form", "short"),
    [
        ("gpu-cuda", "gpu-cuda"),
        ("GPU-CUDAExecutionProvider", "gpu-cuda"),
        ({"device": "CPU", "execution_provider": "OpenVINOExecutionProvider"}, "cpu-openvino"),
        ({"device": "npu", "execution_provider": "qnn"}, "npu-qnn"),
    ],
)
def test_letter_case_and_suffix_do_not_matter(given_form: object, short: str) -> None:
    assert str(Accelerator.model_validate(given_form)) == short


@pytest.mark.parametrize(
    ("bad", "field", "told"),
    [
        ("tpu-cpu", "device", "'tpu' is not known; known are cpu"),
        ("cpu-warp", "execution_provider", "'warp' is not known"),
        ({"device": "cpu", "execution_provider": 3}, "execution_provider", "'3' is not known"),
        ("cpu", "", "write DEVICE-PROVIDER"),
        ({"device": "cpu"}, "execution_provider", "required"),
    ],
)
def test_an_accelerator_that_is_not_known_is_refused_and_the_field_named(bad: object, field: str, told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Accelerator.model_validate(bad)
    error = caught.value.errors()[0]
    assert ".".join(map(str, error["loc"])) == field
    assert told.lower() in error["msg"].lower()
