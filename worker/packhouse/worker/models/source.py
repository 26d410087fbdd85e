"""Which files make up the model of a candidate, and how they are to lie in its folder of the package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from pydantic import JsonValue

from packhouse.schemas.base import is_absolute
from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.files import CONFIGURATIONS, INFERENCE_CONFIG, METRICS, MODEL_INFO, ONNX_MODEL
from packhouse.schemas.footprint import ModelConfig
from packhouse.worker.models.onnx import inside, inspect
from packhouse.worker.storage.failures import forbidden, said
from packhouse.worker.storage.location import Location
from packhouse.worker.storage.storage import Storage

KeyPath: TypeAlias = tuple[str | int, ...]
"""Keys and indices that lead from one JSON value to another inside it."""


class SourceKind(StrEnum):
    """What a model is on disk."""

    ONNX_FILE = "onnx_file"
    ONNX_FOLDER = "onnx_folder"
    FILE = "file"
    FOLDER = "folder"
    COMPOSITE = "composite"

    @property
    def is_onnx(self) -> bool:
        """Whether ``main`` is an ONNX model. A composite has no main; its components may be ONNX models."""
        return self in (SourceKind.ONNX_FILE, SourceKind.ONNX_FOLDER)


@dataclass(frozen=True)
class SourceFile:
    """A file of a model."""

    relative: str
    """Where it is to lie, relative to the candidate's folder, with forward slashes."""
    location: Location
    size: int
    mark: str


@dataclass(frozen=True)
class MadeFile:
    """A file of a model that names others, and was written anew because one of them has another name now."""

    relative: str
    """As of a ``SourceFile``."""
    data: bytes
    """JSON."""


@dataclass(frozen=True)
class OnnxMain:
    """An ONNX model that can be opened by itself: the whole of a model, or one of its components."""

    main: str
    """The ONNX file, relative to the candidate's folder."""
    component: str | None = None
    """Name of the component that it is; None where it is the whole."""
    at: KeyPath = ()
    """The keys that lead from the candidate's model config to the config of this one: empty where it is the whole."""
    ep_contexts: tuple[str, ...] = ()
    """What made its EPContext nodes, as the nodes say it (``QNN``, ``OpenVINOExecutionProvider``), each once, sorted;
    empty text where a node does not say. With such nodes a model runs on that execution provider only."""
    external_initializers: str | None = None
    """File of initializers that a session is to be given beside the model, relative to the candidate's folder."""
    constant_inputs: str | None = None
    """File of inputs that never change, relative to the candidate's folder."""

    def config_in(self, model: ModelConfig) -> Mapping[str, JsonValue]:
        """The config of this model within that of the candidate: it holds ``inference_settings`` and the like."""
        value: Any = model.config
        for key in self.at:
            value = value[key]
        return value if isinstance(value, dict) else {}


@dataclass(frozen=True)
class ModelSource:
    """A model as files."""

    kind: SourceKind
    files: tuple[SourceFile, ...]
    """Sorted by ``relative``, in UTF-8; no two are one file to a system that knows no letter case."""
    main: str
    """The model's file, relative to the candidate's folder; empty where that is the whole folder, or several models."""
    onnx_file_name: str | None = None
    """Where the engine gave an ``onnx_file_name``: the name that the file has now."""
    onnx_models: tuple[OnnxMain, ...] = ()
    """Every ONNX model that can be opened by itself, in the order of the config."""
    made: tuple[MadeFile, ...] = ()
    """Sorted as ``files``, and none of them."""
    generative: bool = False
    """Whether a ``genai_config.json`` says how ONNX Runtime generate() opens the model."""

    @property
    def paths(self) -> list[str]:
        """Every file of the model, relative to the candidate's folder, sorted."""
        return sorted([*(file.relative for file in self.files), *(file.relative for file in self.made)])

    @property
    def has_ep_context(self) -> bool:
        """Whether a part of the model was compiled for one execution provider."""
        return any(model.ep_contexts for model in self.onnx_models)


def find(model: ModelConfig, locate: Callable[[str], Location], storage: Storage) -> ModelSource:
    """Find the files of a model. ``locate`` says where the worker has a path of the engine.

    An ONNX model becomes ``model.onnx`` where it lies, its external data keeps the names that the graph refers to, and
    of a folder every file travels along. Any other model travels as it is.

    Raises ``PermanentError`` with the code that fits, and ``TransientError`` where the storage does not answer.
    """
    location = locate(_model_path(model))
    folder = storage.is_folder(location)
    if not model.is_onnx:
        kind = SourceKind.FOLDER if folder else SourceKind.FILE
        found = dict(storage.walk(location)) if folder else {location.name: location}
        _must_hold_something(found, location)
        return ModelSource(kind, _opened(found, storage), "" if folder else location.name)
    if not folder:
        return ModelSource(
            SourceKind.ONNX_FILE,
            _onnx_files({}, "", location, storage),
            ONNX_MODEL,
            onnx_models=(OnnxMain(ONNX_MODEL),),
        )
    found = dict(storage.walk(location))
    named = model.config.get("onnx_file_name")
    inner = _onnx_in(found, named if isinstance(named, str) and named else None, location)
    prefix = inner[: len(inner) - len(inner.rpartition("/")[2])]
    others = {relative: place for relative, place in found.items() if relative != inner}
    files = _onnx_files(others, prefix, found[inner], storage)
    name = ONNX_MODEL if named else None
    main = prefix + ONNX_MODEL
    return ModelSource(SourceKind.ONNX_FOLDER, files, main, name, (OnnxMain(main),))


def _model_path(model: ModelConfig) -> str:
    path = model.model_path
    if path is None:
        parts = "model_components" in model.config
        what = "is made of several models" if parts else "names no file or folder as its model_path"
        raise PermanentError(
            ErrorCode.MODEL_TYPE_UNSUPPORTED,
            f"A model of type {model.type} {what}, which cannot be packaged.",
            fix="Let the engine save the model as one file or one folder.",
            field="model_path",
        )
    if is_absolute(path):
        return path
    if model.kind.startswith(("hf", "huggingface")):
        raise PermanentError(
            ErrorCode.MODEL_TYPE_UNSUPPORTED,
            f"{said(path)} is the name of a model on a hub, not a model on disk.",
            fix="Let the engine save the model into a folder, and name that folder as model_path.",
            field="model_path",
        )
    raise forbidden(path, "is no absolute path: it depends on where the engine ran")


def _onnx_files(
    others: dict[str, Location], prefix: str, onnx_file: Location, storage: Storage
) -> tuple[SourceFile, ...]:
    model = inspect(onnx_file, storage)
    main = SourceFile(prefix + ONNX_MODEL, model.model, model.size, model.mark)
    external = {
        prefix + file.relative: SourceFile(prefix + file.relative, file.location, file.size, file.mark)
        for file in model.external
    }
    rest = {relative: place for relative, place in others.items() if relative not in external}
    if onnx_file.name == ONNX_MODEL:
        external.pop(main.relative, None)  # a model may keep its tensors behind itself, in its own file
    return _laid_out([main, *external.values(), *_opened(rest, storage)])


def _onnx_in(found: dict[str, Location], named: str | None, folder: Location) -> str:
    if named is not None:
        relative = inside(named)
        if relative is None:
            raise forbidden(f"{folder.shown}/{named}", "(onnx_file_name) lies outside the model's folder")
        if relative in found:
            return relative
        raise PermanentError(
            ErrorCode.MODEL_MISSING,
            f"{said(folder.shown)} holds no file {said(named)} (onnx_file_name).",
            fix="Check onnx_file_name, and that the engine has not cleaned up since.",
            field="onnx_file_name",
        )
    candidates = [relative for relative in found if "/" not in relative and relative.lower().endswith(".onnx")]
    if len(candidates) == 1:
        return candidates[0]
    what = f"{len(candidates)} ONNX files ({', '.join(candidates[:10])})" if candidates else "no ONNX file"
    raise PermanentError(
        ErrorCode.LAYOUT_CONFLICT if candidates else ErrorCode.MODEL_MISSING,
        f"{said(folder.shown)} holds {what}, and no onnx_file_name says which is the model.",
        fix="Give the model's config an onnx_file_name.",
        field="onnx_file_name",
    )


def _must_hold_something(found: dict[str, Location], location: Location) -> None:
    if not found:
        raise PermanentError(
            ErrorCode.MODEL_MISSING,
            f"{said(location.shown)} is an empty folder.",
            fix="Check the path, and that the engine has not cleaned up since: its files must stay until packaged.",
        )


def _opened(found: dict[str, Location], storage: Storage) -> tuple[SourceFile, ...]:
    files: list[SourceFile] = []
    for relative, location in found.items():
        with storage.open_file(location) as file:
            files.append(SourceFile(relative, location, file.size, file.mark))
    return _laid_out(files)


def _laid_out(files: list[SourceFile]) -> tuple[SourceFile, ...]:
    taken = {
        name: f"{name}, which Packhouse writes" for name in (CONFIGURATIONS, INFERENCE_CONFIG, METRICS, MODEL_INFO)
    }
    for file in files:
        key = file.relative.casefold()
        if key in taken:
            raise PermanentError(
                ErrorCode.LAYOUT_CONFLICT,
                f"{said(file.location.shown)} would lie in the package in one place with {said(taken[key])}.",
                fix="Give the files of the model names of their own, letter case aside.",
            )
        taken[key] = file.location.shown
    return tuple(sorted(files, key=lambda file: file.relative.encode()))
