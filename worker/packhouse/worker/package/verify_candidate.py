"""Whether a candidate's folder inside a package is complete and agrees with the rank file."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator
from typing import Any, Final, Protocol, TypeVar

from pydantic import BaseModel

from packhouse.schemas.files import (
    CANDIDATES,
    CONFIGURATIONS,
    INFERENCE_CONFIG,
    METRICS,
    MODEL_INFO,
    Configurations,
    InferenceConfig,
    MetricsFile,
    ModelInfo,
    RankEntry,
)
from packhouse.worker.package.jsontext import json_bytes

_Model = TypeVar("_Model", bound=BaseModel)

_FOLDER: Final = re.compile(rf"({CANDIDATES}/([^/]+)/BestCandidateModel_([1-9][0-9]*))(?:/.+)?")
_OURS: Final = (CONFIGURATIONS, INFERENCE_CONFIG, METRICS, MODEL_INFO)


class Reader(Protocol):
    """Reads a JSON file of the package: the document, or None and what is wrong with it."""

    def __call__(self, path: str, model: type[_Model], /) -> tuple[_Model | None, list[str]]:
        """Raises nothing: whatever is wrong is in the list."""
        ...


def folder_of(entry: RankEntry) -> str | None:
    """The candidate's folder that a rank entry's model lies in."""
    match = _FOLDER.fullmatch(entry.model.model_path or "")
    return match[1] if match else None


def main_file(entry: RankEntry, paths: Container[str]) -> str:
    """The file that a rank entry names, or the folder for a model that is one. Raises ``ValueError``."""
    path = entry.model.model_path or ""
    name = entry.model.config.get("onnx_file_name")
    if path in paths:
        if name is not None and path.rpartition("/")[2] != name:
            raise ValueError(f"onnx_file_name is {name!r}, and model_path is {path!r}")
        return path
    if isinstance(name, str):
        if f"{path}/{name}" in paths:
            return f"{path}/{name}"
        raise ValueError(f"there is no {name!r} in model_path {path!r}")
    if entry.model.is_onnx or not any(each.startswith(path + "/") for each in _iterate(paths)):
        raise ValueError(f"model_path {path!r} is not in the package")
    return path


def _iterate(paths: Container[str]) -> Iterable[str]:
    return paths if isinstance(paths, Iterable) else ()


def candidate_faults(entry: RankEntry, folder: str, paths: Iterable[str], read: Reader) -> Iterator[str]:
    """What is wrong with a candidate's folder, each in a sentence."""
    present = {path.removeprefix(folder + "/") for path in paths if path.startswith(folder + "/")}
    documents: dict[str, Any] = {}
    forms: dict[str, type[BaseModel]] = {
        CONFIGURATIONS: Configurations, METRICS: MetricsFile, MODEL_INFO: ModelInfo
    }  # fmt: skip
    if entry.model.is_onnx:
        forms[INFERENCE_CONFIG] = InferenceConfig
    elif INFERENCE_CONFIG in present:
        yield f"{INFERENCE_CONFIG} is for ONNX models only"
    for name, form in forms.items():
        documents[name], faults = read(f"{folder}/{name}", form)
        yield from faults
    if (info := documents[MODEL_INFO]) is not None:
        yield from _info_faults(entry, folder, info, present)
    if (metrics := documents[METRICS]) is not None and not _same(metrics.candidate_model_metrics, entry.metrics):
        yield f"{METRICS} has other metrics of the candidate than the rank file"
    if (configurations := documents[CONFIGURATIONS]) is not None and info is not None:
        lineage = [step.model_id for step in info.lineage]
        if list(configurations.root) != lineage:
            yield f"{CONFIGURATIONS} and {MODEL_INFO} have another lineage"


def _info_faults(entry: RankEntry, folder: str, info: ModelInfo, present: set[str]) -> Iterator[str]:
    match = _FOLDER.fullmatch(folder)
    if match and (str(info.accelerator), str(info.rank_in_accelerator)) != (match[2], match[3]):
        yield f"{MODEL_INFO} is about number {info.rank_in_accelerator} of {info.accelerator}"
    if info.rank != entry.rank:
        yield f"{MODEL_INFO} says rank {info.rank}, the rank file {entry.rank}"
    if json_bytes(info.model) != json_bytes(entry.model) or not _same(info.metrics, entry.metrics):
        yield f"{MODEL_INFO} describes another model than the rank file"
    models = present - set(_OURS)
    if not models:
        yield "there is no model"
    if set(info.files) != models:
        yield f"{MODEL_INFO} lists other files than there are"


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON: a metric that is no number equals itself."""
    dumped = [
        None if each is None else {name: metric.model_dump(mode="json") for name, metric in each.items()}
        for each in (one, other)
    ]
    return json_bytes(dumped[0]) == json_bytes(dumped[1])
