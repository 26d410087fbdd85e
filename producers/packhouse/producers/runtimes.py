"""The runtimes that an engine measured its models with, as Python distributions with versions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import metadata
from typing import Final

from pydantic import ValidationError

from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.events import Package

RUNTIMES: Final = (
    "onnxruntime",
    "onnxruntime-cann",
    "onnxruntime-directml",
    "onnxruntime-extensions",
    "onnxruntime-genai",
    "onnxruntime-genai-cuda",
    "onnxruntime-genai-directml",
    "onnxruntime-gpu",
    "onnxruntime-migraphx",
    "onnxruntime-openvino",
    "onnxruntime-qnn",
    "onnxruntime-rocm",
    "onnxruntime-training",
    "onnxruntime-vitisai",
    "onnxruntime-webgpu",
    "onnxruntime-windowsml",
    "openvino",
    "openvino-genai",
    "openvino-tokenizers",
)
"""Distributions that run models; no other is looked for."""

_TEXT = re.compile(r"\s*(?P<name>[^=\s]+)\s*==\s*(?P<version>[^=\s]+)\s*")


def detect() -> list[Package]:
    """The runtimes installed in this Python environment, by name. Nothing is imported for it."""
    return [Package(name=name, version=version) for name in RUNTIMES if (version := _version(name))]


def olive_version() -> str | None:
    """The version of the Olive installed in this Python environment, or None."""
    return _version("olive-ai")


def parse(text: str) -> Package:
    """The package of ``NAME==VERSION``. Raises ``PermanentError`` (``configuration_invalid``)."""
    match = _TEXT.fullmatch(text)
    try:
        if match:
            return Package(name=match["name"], version=match["version"])
    except ValidationError:
        pass
    raise PermanentError(
        ErrorCode.CONFIGURATION_INVALID,
        f"{text!r} is not a runtime package.",
        fix="Write NAME==VERSION, as in onnxruntime==1.20.1.",
    )


def joined(detected: Iterable[Package], given: Iterable[Package]) -> list[Package]:
    """Both, the given version where a package is in both, by name."""
    return sorted({package.name: package for package in [*detected, *given]}.values(), key=lambda package: package.name)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
