"""Which accelerator a run was for. Olive writes it into names of files and folders, or not at all (0.13)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError

from packhouse.schemas.accelerator import DEVICES, Accelerator
from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.footprint import Node

_DEVICE = "|".join(sorted(DEVICES, key=len, reverse=True))
_PREFIX = re.compile(rf"(?:(?P<name>.+?)_)?(?P<accelerator>(?:{_DEVICE})-[a-z0-9]+)(?:-memory=\d+)?")

_ONLY_DEVICE: Final = {
    "CPUExecutionProvider": "cpu",
    "CUDAExecutionProvider": "gpu",
    "TensorrtExecutionProvider": "gpu",
    "NvTensorRTRTXExecutionProvider": "gpu",
    "ROCMExecutionProvider": "gpu",
    "MIGraphXExecutionProvider": "gpu",
    "VitisAIExecutionProvider": "npu",
}
"""The device of every provider that has but one. OpenVINO, QNN, DirectML and others have several."""

_DEVICE_OPTIONS: Final = ("device_type", "device_filter", "backend_type", "backend_path")
_DEVICE_WORDS: Final = {
    "cpu": "cpu", "cpu_fp32": "cpu", "gpu": "gpu", "gpu_fp32": "gpu", "gpu_fp16": "gpu", "npu": "npu", "htp": "npu",
}  # fmt: skip
_QNN_LIBRARY = re.compile(r"(?:lib)?qnn(cpu|gpu|htp)(?:\.(?:dll|so))?", re.IGNORECASE)


def split_prefix(prefix: str) -> tuple[str | None, Accelerator | None]:
    """Output name and accelerator of ``digits_cpu-openvino`` or ``cpu-cpu``; a part that is not there is None."""
    match = _PREFIX.fullmatch(prefix)
    if match:
        try:
            return match["name"], Accelerator.parse(match["accelerator"])
        except ValidationError:
            pass
    return prefix or None, None


def derive(nodes: Iterable[Node], where: str) -> Accelerator:
    """The accelerator that the nodes' inference settings agree on.

    Raises ``PermanentError`` (``accelerator_unknown``) where they say none, several, or a provider whose device cannot
    be told.
    """
    found: dict[str, Accelerator] = {}
    for node in nodes:
        for provider, device in _settings(node):
            if device is None:
                raise _unknown(f"{where} does not say which device {provider} ran on (model {node.model_id!r})")
            try:
                accelerator = Accelerator(device=device, execution_provider=provider)
            except ValidationError as error:
                reason = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
                raise _unknown(f"{where}, model {node.model_id!r}: {reason}") from None
            found[str(accelerator)] = accelerator
    if not found:
        raise _unknown(f"{where} does not say which accelerator the run was for: no model has inference settings")
    if len(found) > 1:
        raise _unknown(f"{where} has models for several accelerators ({', '.join(sorted(found))})")
    return next(iter(found.values()))


def _unknown(message: str) -> PermanentError:
    return PermanentError(
        ErrorCode.ACCELERATOR_UNKNOWN,
        f"{message}.",
        fix="Say it with --accelerator DEVICE-EP (accelerator=… in Python), as in cpu-cpu, gpu-cuda or npu-qnn.",
    )


def _settings(node: Node) -> Iterator[tuple[str, str | None]]:
    """The provider that came first, and its device where that is said, if the node has inference settings."""
    settings = node.model.inference_settings if node.model else {}
    providers = settings.get("execution_provider")
    if isinstance(providers, str):
        providers = [providers]
    if not isinstance(providers, list) or not providers:
        return
    first, options = providers[0], settings.get("provider_options")
    if isinstance(first, list) and first:
        first, options = first[0], first[1:]
    if isinstance(first, str):
        config = node.pass_run_config or {}
        said = config.get("device")
        stated = said.lower() if isinstance(said, str) and said.lower() in DEVICES else None
        own = options[0] if isinstance(options, list) and options else None
        yield first, stated or _from_options(own) or _ONLY_DEVICE.get(first)


def _from_options(options: Any) -> str | None:
    if not isinstance(options, Mapping):
        return None
    for name in _DEVICE_OPTIONS:
        value = options.get(name)
        if isinstance(value, str):
            library = _QNN_LIBRARY.fullmatch(re.split(r"[\\/]", value)[-1])
            word = library[1] if library else value.split(".")[0]
            if word.lower() in _DEVICE_WORDS:
                return _DEVICE_WORDS[word.lower()]
    return None
