"""Whether what lies in the MLflow format beside a model agrees with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from packhouse.schemas.files import INFERENCE_CONFIG, InferenceConfig, RankEntry
from packhouse.worker.package.mlflow import (
    CONDA,
    MLFLOW_FILES,
    MLMODEL,
    ONNX_FLAVOR,
    PYFUNC_FLAVOR,
    PYTHON_ENV,
    REQUIREMENTS,
)
from packhouse.worker.package.mlflow_options import providers_of
from packhouse.worker.verify.candidates import folder_of, of_mlflow
from packhouse.worker.verify.container import UNREADABLE
from packhouse.worker.verify.contents import Contents, Found, Skipped, counted

_LONGEST: Final = 16 * 1024 * 1024


def check_mlflow(contents: Contents) -> Found:
    """Look at every candidate's ``MLmodel``: what it says must be there, and be the model of the candidate."""
    exported: list[str] = []
    plain: list[str] = []
    findings: list[str] = []
    for entry in contents.need_ranks():
        folder = folder_of(entry)
        info = contents.info(folder) if folder else None
        if folder is None or info is None:
            continue
        present = {path.removeprefix(folder + "/") for path in contents.below(folder)}
        files = of_mlflow(present, set(info.files))
        (exported if files else plain).append(folder)
        if files:
            findings += [f"{folder}: {fault}" for fault in _faults(contents, entry, folder, files)]
    if not exported:
        raise Skipped("no candidate is in the MLflow format")
    findings += [f"{folder} is not in the MLflow format, as others are" for folder in plain]
    return Found(findings, counted(len(exported), "candidate"))


def _faults(contents: Contents, entry: RankEntry, folder: str, files: set[str]) -> Iterator[str]:
    yield from (f"{name} is missing" for name in MLFLOW_FILES if name not in files)
    main = (entry.model.model_path or "").removeprefix(folder + "/")
    place = main.rpartition("/")[0]
    documents = {MLMODEL: main}
    if place:
        documents[f"{place}/{MLMODEL}"] = main.rpartition("/")[2]
    for name, data in documents.items():
        if name not in files:
            yield f"{name} is missing"
            continue
        document = _json(contents, f"{folder}/{name}")
        yield from (f"{name}: {fault}" for fault in _mlmodel_faults(contents, document, folder, data))
    for name in (CONDA, PYTHON_ENV):
        if name in files and not isinstance(_json(contents, f"{folder}/{name}"), dict):
            yield f"{name} cannot be read"
    if REQUIREMENTS in files and not contents.container.sizes[f"{folder}/{REQUIREMENTS}"]:
        yield f"{REQUIREMENTS} is empty"


def _mlmodel_faults(contents: Contents, document: Any, folder: str, data: str) -> Iterator[str]:
    flavors = document.get("flavors") if isinstance(document, dict) else None
    if not isinstance(flavors, dict):
        yield "it names no flavors, or cannot be read"
        return
    for name in (ONNX_FLAVOR, PYFUNC_FLAVOR):
        flavor = flavors.get(name)
        if not isinstance(flavor, dict):
            yield f"it has no flavor {name}"
        elif flavor.get("data") != data:
            yield f"the model of flavor {name} is {str(flavor.get('data'))[:200]!r}, and the candidate's is {data!r}"
    inference, _ = contents.document(f"{folder}/{INFERENCE_CONFIG}", InferenceConfig)
    onnx = flavors.get(ONNX_FLAVOR)
    if (
        inference is not None
        and isinstance(onnx, dict)
        and onnx.get("providers") != providers_of(inference.execution_provider)
    ):
        yield f"its execution providers are not those of {INFERENCE_CONFIG}"
    signature = document.get("signature")
    for side in signature.values() if isinstance(signature, dict) else ():
        if isinstance(side, str) and not _is_list(side):
            yield "its signature cannot be read"


def _json(contents: Contents, path: str) -> Any:
    """YAML of the kind that we write, which is JSON; None where it is not."""
    try:
        return json.loads(contents.text(path, most=_LONGEST))
    except (*UNREADABLE, RecursionError):
        return None


def _is_list(text: str) -> bool:
    try:
        return isinstance(json.loads(text), list)
    except (ValueError, RecursionError):
        return False
