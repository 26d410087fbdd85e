"""Accelerators: a device and the execution provider that drives it."""

from __future__ import annotations

from typing import Any, Final, Self

from pydantic import GetJsonSchemaHandler, field_validator, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from packhouse.schemas.base import Document

_SUFFIX: Final = "ExecutionProvider"

EXECUTION_PROVIDERS: Final[dict[str, str]] = {
    name.lower(): name + _SUFFIX
    for name in (
        "CPU", "CUDA", "Tensorrt", "NvTensorRTRTX", "ROCM", "MIGraphX", "Dml", "OpenVINO", "QNN", "VitisAI",
        "WebGpu", "Js", "CoreML", "Xnnpack", "DNNL", "ACL", "ArmNN", "CANN", "Azure", "Nnapi", "Rknpu", "WebNN",
    )
}  # fmt: skip
"""Short lower-case name to the name that ONNX Runtime uses, of every execution provider it knows."""

DEVICES: Final = ("cpu", "cpu_spr", "gpu", "npu", "vpu", "intel_myriad")
"""The devices that Olive names."""


class Accelerator(Document):
    """A device with an execution provider. ``str(accelerator)`` is Olive's short form, ``cpu-openvino``.

    Law: ``Accelerator.parse(str(a)) == a``. The short form is accepted wherever the object is.
    """

    device: str
    execution_provider: str

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        device, dash, provider = value.partition("-")
        if not dash:
            raise ValueError(f"{value!r} is not an accelerator: write DEVICE-PROVIDER, as in cpu-cpu or gpu-cuda")
        return {"device": device, "execution_provider": provider}

    @field_validator("device", mode="before")
    @classmethod
    def _known_device(cls, value: Any) -> str:
        name = str(value).lower()
        if name not in DEVICES:
            raise ValueError(f"device {str(value)[:80]!r} is not known; known are {', '.join(DEVICES)}")
        return name

    @field_validator("execution_provider", mode="before")
    @classmethod
    def _known_provider(cls, value: Any) -> str:
        name = EXECUTION_PROVIDERS.get(str(value).lower().removesuffix(_SUFFIX.lower()))
        if name is None:
            known = ", ".join(EXECUTION_PROVIDERS.values())
            raise ValueError(f"execution provider {str(value)[:80]!r} is not known; known are {known}")
        return name

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {
            "anyOf": [
                handler(core_schema),
                {
                    "type": "string",
                    "pattern": "^[^-]+-.+$",
                    "description": "The short form, as in cpu-cpu or gpu-cuda.",
                },
            ]
        }

    @classmethod
    def parse(cls, text: str) -> Self:
        """The accelerator of a short form such as ``cpu-cpu``. Raises ``ValidationError``."""
        return cls.model_validate(text)

    def __str__(self) -> str:
        return f"{self.device}-{self.execution_provider.removesuffix(_SUFFIX).lower()}"
