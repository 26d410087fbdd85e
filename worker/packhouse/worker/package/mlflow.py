"""The MLflow format: the files that let MLflow open a candidate's folder as it is.

Source of the format: what ``mlflow.onnx.save_model`` writes and ``mlflow.onnx`` and ``mlflow.pyfunc`` read, MLflow
3.17.2. Its files are YAML; these are JSON, of the kind that is YAML too, and depend on nothing but the run.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from packhouse.schemas.base import content_digest
from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.events import Engine
from packhouse.schemas.files import INFERENCE_CONFIG, InferenceConfig
from packhouse.worker.models.signature import Signature
from packhouse.worker.package.candidate import Candidate, CandidateFolder
from packhouse.worker.package.jsontext import json_bytes
from packhouse.worker.package.mlflow_environment import PYTHON, Environment
from packhouse.worker.package.mlflow_options import providers_of, session_options_of
from packhouse.worker.package.mlflow_signature import signature_of
from packhouse.worker.package.tree import Entry, Made, folded

MLMODEL: Final = "MLmodel"
CONDA: Final = "conda.yaml"
PYTHON_ENV: Final = "python_env.yaml"
REQUIREMENTS: Final = "requirements.txt"
MLFLOW_FILES: Final = (MLMODEL, CONDA, PYTHON_ENV, REQUIREMENTS)

ONNX_FLAVOR: Final = "onnx"
PYFUNC_FLAVOR: Final = "python_function"

_UNREADABLE_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""What JSON takes raw inside a string and YAML 1.1 either refuses or takes for the end of a line."""
_MICROSECONDS: Final = "%Y-%m-%d %H:%M:%S.%f"
_NO_EXPORT: Final = "Set export_in_mlflow_format to false for this run."
_FIELD: Final = "packaging_config.config.export_in_mlflow_format"


def mlflow_files(
    candidate: Candidate, folder: CandidateFolder, signature: Signature | None, engine: Engine
) -> dict[str, Made]:
    """The files to be added to a candidate's folder, by path in the package.

    ``MLmodel`` with the flavours ``onnx`` and ``python_function``, ``conda.yaml``, ``python_env.yaml`` and
    ``requirements.txt``. The settings of the session are those of the folder's ``inference_config.json``. Law: equal
    arguments give equal bytes, wherever the model lies and whoever does the work.

    Raises ``PermanentError``: ``mlflow_unsupported`` for a model that MLflow could not open, ``layout_conflict``
    where the model has a file of such a name itself.
    """
    reason = unsupported(candidate, signature)
    if reason is not None:
        raise PermanentError(
            ErrorCode.MLFLOW_UNSUPPORTED,
            f"Model {candidate.ranked.model_id[:200]!r} cannot be exported in the MLflow format: it {reason}.",
            fix=_NO_EXPORT,
            field=_FIELD,
        )
    base = f"{folder.prefix}/" if folder.prefix else ""
    inference = _settings(folder.entries.get(base + INFERENCE_CONFIG))
    environment = Environment.of(engine, inference)
    place, _, main = candidate.source.main.rpartition("/")
    files = {
        MLMODEL: _yaml(_mlmodel(candidate, candidate.source.main, signature, inference, environment)),
        CONDA: _yaml(environment.conda()),
        PYTHON_ENV: _yaml(environment.virtualenv()),
        REQUIREMENTS: environment.requirements_txt().encode(),
    }
    if place:
        # MLflow's loader of ONNX models looks for the settings of the session beside the model's own file.
        files[f"{place}/{MLMODEL}"] = _yaml(_mlmodel(candidate, main, signature, inference, environment))
    _must_be_free(files, folder, base)
    return {base + name: Made(data) for name, data in files.items()}


def unsupported(candidate: Candidate, signature: Signature | None) -> str | None:
    """Why MLflow could not open a candidate's model, as the rest of a sentence that begins with "it"; None if it can.

    Models that are compiled for one execution provider (EPContext) and generative ones are ONNX models like others:
    the first open where that provider is, of the second MLflow runs one step.
    """
    source, config = candidate.source, candidate.model.config
    if not source.kind.is_onnx:
        return f"is of type {candidate.model.type[:100]}, and of what is packaged MLflow opens single ONNX models"
    if config.get("use_ort_extensions"):
        return "needs onnxruntime-extensions, whose operators MLflow does not register"
    if any(model.external_initializers for model in source.onnx_models):
        return "takes initializers from a file of its own, which MLflow does not hand to ONNX Runtime"
    if signature is not None and not signature.inputs:
        return "has no inputs, and MLflow opens no such model"
    return None


def _mlmodel(
    candidate: Candidate,
    data: str,
    signature: Signature | None,
    inference: InferenceConfig,
    environment: Environment,
) -> dict[str, Any]:
    onnx: dict[str, Any] = {
        "code": None,
        "data": data,
        "onnx_session_options": session_options_of(inference.session_options),
        "providers": providers_of(inference.execution_provider),
    }
    if environment.onnx is not None:
        onnx["onnx_version"] = environment.onnx
    pyfunc = {
        "data": data,
        "env": {"conda": CONDA, "virtualenv": PYTHON_ENV},
        "loader_module": "mlflow.onnx",
        "python_version": PYTHON,
    }
    document: dict[str, Any] = {
        "flavors": {ONNX_FLAVOR: onnx, PYFUNC_FLAVOR: pyfunc},
        "model_size_bytes": sum(file.size for file in candidate.source.files),
        "model_uuid": _uuid(candidate),
    }
    if signature is not None and (schemas := signature_of(signature)) is not None:
        document["signature"] = schemas
    if (created := _created(candidate)) is not None:
        document["utc_time_created"] = created
    return document


def _uuid(candidate: Candidate) -> str:
    """32 hexadecimal digits that follow from what the model is, and not from where or when it was packaged."""
    ranked = candidate.ranked
    metrics = {name: metric.model_dump(mode="json") for name, metric in (ranked.metrics or {}).items()}
    lineage = [node.model_id for node in candidate.lineage]
    files = [[file.relative, file.size] for file in candidate.source.files]
    digest = content_digest([str(ranked.accelerator), lineage, metrics, files])
    return uuid.uuid5(uuid.NAMESPACE_URL, f"urn:packhouse:model:{digest}").hex


def _created(candidate: Candidate) -> str | None:
    """When the engine had made the model, in UTC, as MLflow writes times; None where it does not say."""
    seconds = candidate.lineage[-1].end_time
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime(_MICROSECONDS)
    except (OverflowError, ValueError, OSError):
        return None


def _settings(entry: Entry | None) -> InferenceConfig:
    if not isinstance(entry, Made):
        raise TypeError(f"the folder of an ONNX model has no {INFERENCE_CONFIG}")
    return InferenceConfig.model_validate_json(entry.data)


def _yaml(value: Mapping[str, Any]) -> bytes:
    """JSON that a reader of YAML 1.1 reads as the same."""
    text = json_bytes(value).decode()
    return _UNREADABLE_IN_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode()


def _must_be_free(files: Mapping[str, bytes], folder: CandidateFolder, base: str) -> None:
    taken = {folded(path.removeprefix(base)): path.removeprefix(base) for path in _with_folders(folder.entries)}
    for name in files:
        if (other := taken.get(folded(name))) is not None:
            raise PermanentError(
                ErrorCode.LAYOUT_CONFLICT,
                f"The model has a file {other!r} of its own, and the MLflow format puts one of that name beside it.",
                fix=f"Rename the file of the model, or: {_NO_EXPORT[0].lower()}{_NO_EXPORT[1:]}",
                field=_FIELD,
            )


def _with_folders(paths: Mapping[str, Any]) -> Iterator[str]:
    for path in paths:
        while path:
            yield path
            path = path.rpartition("/")[0]  # noqa: PLW2901 (its folders, one after another)
