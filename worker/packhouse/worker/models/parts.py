"""A model as files: which they are, and how they are to lie in the candidate's folder of the package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import JsonValue

from packhouse.schemas.footprint import ModelConfig
from packhouse.schemas.modelpaths import KeyPath
from packhouse.worker.storage.location import Location


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
    places: tuple[tuple[KeyPath, str], ...] = ()
    """Where in the model config a path stands, and what it names now: relative to the candidate's folder, empty for the
    folder itself."""
    names: tuple[tuple[KeyPath, str], ...] = ()
    """Where in the model config the name of a file stands that is relative to another path of it, and its name now."""
    onnx_models: tuple[OnnxMain, ...] = ()
    """Every ONNX model that can be opened by itself, in the order of the config."""
    made: tuple[MadeFile, ...] = ()
    """Sorted as ``files``, and none of them."""
    generative: bool = False
    """Whether a ``genai_config.json`` says how ONNX Runtime generate() opens the model."""

    @property
    def onnx_file_name(self) -> str | None:
        """Where the model's own config names its file by an ``onnx_file_name``: the name that the file has now."""
        return dict(self.names).get(("onnx_file_name",))

    @property
    def paths(self) -> list[str]:
        """Every file of the model, relative to the candidate's folder, sorted."""
        return sorted([*(file.relative for file in self.files), *(file.relative for file in self.made)])

    @property
    def has_ep_context(self) -> bool:
        """Whether a part of the model was compiled for one execution provider."""
        return any(model.ep_contexts for model in self.onnx_models)
