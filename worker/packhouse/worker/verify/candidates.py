"""Whether the rank file and each candidate's folder are complete and agree with each other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel, JsonValue

from packhouse.schemas.base import is_absolute
from packhouse.schemas.files import (
    CANDIDATES,
    CONFIGURATIONS,
    INFERENCE_CONFIG,
    METRICS,
    MODEL_INFO,
    MODELS_RANK,
    Configurations,
    InferenceConfig,
    MetricsFile,
    ModelInfo,
    ModelsRank,
    RankEntry,
)
from packhouse.schemas.footprint import ModelConfig
from packhouse.schemas.modelpaths import (
    COMPONENTS,
    CONSTANT_INPUTS,
    EXTERNAL_INITIALIZERS,
    MODEL_PATH,
    ONNX_FILE_NAME,
    ConfigPath,
    local_path,
    models_in,
    own_paths,
)
from packhouse.worker.package.jsontext import json_bytes
from packhouse.worker.package.mlflow import MLFLOW_FILES, MLMODEL
from packhouse.worker.verify.container import named
from packhouse.worker.verify.contents import Contents, Found, counted

_FOLDER: Final = re.compile(rf"({CANDIDATES}/([^/]+)/BestCandidateModel_([1-9][0-9]*))(?:/.+)?")
_OURS: Final = frozenset({CONFIGURATIONS, INFERENCE_CONFIG, METRICS, MODEL_INFO})
_NAMES: Final = (ONNX_FILE_NAME, EXTERNAL_INITIALIZERS, CONSTANT_INPUTS)
_ONNX: Final = "onnxmodel"
_MOST_PLACES_SHOWN: Final = 20


def paths_of(model: ModelConfig) -> list[ConfigPath]:
    """Every path in the config of a model, those of components too. Raises ``ValueError`` as ``models_in``."""
    return [
        ConfigPath((*part.at, *each.at), each.role, each.path)
        for part in models_in(model.type, model.config)
        for each in own_paths(part.config)
    ]


def folder_of(entry: RankEntry) -> str | None:
    """The candidate's folder that a rank entry's model lies in; None where it names none, or several."""
    try:
        folders = {match[1] for each in paths_of(entry.model) if (match := _FOLDER.fullmatch(each.path))}
    except ValueError:
        return None
    return folders.pop() if len(folders) == 1 else None


def of_mlflow(present: set[str], of_model: set[str]) -> set[str]:
    """Of the files in a candidate's folder those of the MLflow format: the model has no file of that name itself."""
    if MLMODEL not in present or MLMODEL in of_model:
        return set()
    return {name for name in present - of_model if name in MLFLOW_FILES or name.endswith(f"/{MLMODEL}")}


def check_ranks(contents: Contents) -> Found:
    """Read ``models_rank.json``, and follow every path in it."""
    document, findings = contents.document(MODELS_RANK, ModelsRank)
    if document is None:
        return Found(findings)
    contents.ranks = ranks = document.root
    places = [entry.rank for entry in ranks]
    if places != list(range(1, len(places) + 1)):
        shown = places[:_MOST_PLACES_SHOWN]
        findings.append(f"the ranks are {shown}, not 1 to {len(places)} in order")
    folders: set[str] = set()
    there = _Places(contents.container.sizes)
    for entry in ranks:
        findings += [f"rank {entry.rank}: {fault}" for fault in _path_faults(entry, there)]
        folder = folder_of(entry)
        if folder in folders:
            findings.append(f"rank {entry.rank}: {folder} has two ranks")
        if folder is not None:
            folders.add(folder)
    present = {"/".join(path.split("/")[:3]) for path in contents.below(CANDIDATES)}
    findings += [f"{folder} has no rank" for folder in sorted(present - folders)]
    return Found(findings, counted(len(ranks), "candidate"))


def check_candidates(contents: Contents) -> Found:
    """Whether each candidate's folder has its documents, and these say the same as the rank file."""
    ranks = contents.need_ranks()
    found = ((entry, folder) for entry in ranks if (folder := folder_of(entry)) is not None)
    return Found([f"{folder}: {fault}" for entry, folder in found for fault in _faults(entry, folder, contents)])


class _Places:
    """The files of a package, and the folders that they lie in."""

    def __init__(self, files: Mapping[str, int]) -> None:
        self.files = files
        self._folders = {path[:at] for path in files for at, character in enumerate(path) if character == "/"}

    def __contains__(self, path: object) -> bool:
        return path in self.files or path in self._folders


def _path_faults(entry: RankEntry, there: _Places) -> Iterator[str]:
    try:
        found = paths_of(entry.model)
    except ValueError as error:
        yield str(error)
        return
    ours = [each for each in found if _FOLDER.fullmatch(each.path)]
    if len({match[1] for each in ours if (match := _FOLDER.fullmatch(each.path))}) > 1:
        yield "its paths are in the folders of several candidates"
    whole = not isinstance(entry.model.config.get(COMPONENTS), list)
    for each in found:
        where = ".".join(str(key) for key in each.at)
        if each not in ours:
            # What a composite has beside its components may be a name that stands for no place.
            if is_absolute(each.path) or (whole and each.at == (MODEL_PATH,)):
                yield f"{where} {named(each.path)} is not in a candidate's folder"
        elif each.path not in there:
            yield f"{where} {named(each.path)} is not in the package"
    if not ours and whole and not any(each.at == (MODEL_PATH,) for each in found):
        yield "it names no model_path"
    if not ours and not whole:
        yield "none of its components is in a candidate's folder"
    for part in models_in(entry.model.type, entry.model.config):
        yield from _name_faults(part.config, there, is_onnx=part.type.lower() == _ONNX)


def _name_faults(config: Mapping[str, JsonValue], there: _Places, *, is_onnx: bool) -> Iterator[str]:
    """What is wrong with the names in a config that are relative to its ``model_path``."""
    path = local_path(config.get(MODEL_PATH)) or ""
    if path not in there:
        return
    folder, is_file = (path.rpartition("/")[0], True) if path in there.files else (path, False)
    named_in = {key: name for key in _NAMES if isinstance(name := config.get(key), str) and name}
    for key, name in named_in.items():
        if is_file and key == ONNX_FILE_NAME:
            if path != f"{folder}/{name}":
                yield f"{key} is {named(name)}, and model_path is {named(path)}"
        elif f"{folder}/{name}" not in there.files:
            yield f"there is no {named(name)} ({key}) in model_path {named(path)}"
    if is_onnx and not is_file and ONNX_FILE_NAME not in named_in:
        yield f"model_path {named(path)} is a folder, and no onnx_file_name says which file is the model"


def _faults(entry: RankEntry, folder: str, contents: Contents) -> Iterator[str]:
    present = {path.removeprefix(folder + "/") for path in contents.below(folder)}
    documents: dict[str, Any] = {}
    forms: dict[str, type[BaseModel]] = {
        CONFIGURATIONS: Configurations, METRICS: MetricsFile, MODEL_INFO: ModelInfo
    }  # fmt: skip
    if entry.model.is_onnx:
        forms[INFERENCE_CONFIG] = InferenceConfig
    elif INFERENCE_CONFIG in present:
        yield f"{INFERENCE_CONFIG} is for ONNX models only"
    for name, form in forms.items():
        documents[name], faults = contents.document(f"{folder}/{name}", form)
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
    listed = set(info.files)
    models = present - _OURS - of_mlflow(present, listed)
    if not models:
        yield "there is no model"
    if listed != models:
        yield f"{MODEL_INFO} lists other files than there are"


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON: a metric that is no number equals itself."""
    dumped = [
        None if each is None else {name: metric.model_dump(mode="json") for name, metric in each.items()}
        for each in (one, other)
    ]
    return json_bytes(dumped[0]) == json_bytes(dumped[1])
