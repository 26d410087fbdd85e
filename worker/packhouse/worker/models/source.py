"""Which files make up the model of a candidate, and how they are to lie in its folder of the package."""

from __future__ import annotations

from collections.abc import Callable

from packhouse.schemas.footprint import ModelConfig
from packhouse.schemas.modelpaths import COMPONENTS, models_in
from packhouse.worker.models.described import Described
from packhouse.worker.models.genai_layout import bring_genai_along
from packhouse.worker.models.parts import MadeFile, ModelSource, OnnxMain, SourceFile, SourceKind
from packhouse.worker.models.source_layout import Layout
from packhouse.worker.models.source_model import lay_model
from packhouse.worker.storage.location import Location
from packhouse.worker.storage.storage import Storage

__all__ = ["MadeFile", "ModelSource", "OnnxMain", "SourceFile", "SourceKind", "find"]


def find(model: ModelConfig, locate: Callable[[str], Location], storage: Storage) -> ModelSource:
    """Find the files of a model. ``locate`` says where the worker has a path of the engine.

    An ONNX model becomes ``model.onnx`` where it lies, what it refers to keeps the names that the graph has, and of a
    folder every file travels along. The components of a composite lie in folders of their own, each laid out like a
    model; those that share a folder stay together in it and keep their names, for what they share. Files that the
    config names elsewhere (adapters, scripts, ``additional_files``) lie beside the model. Any other model travels as it
    is.

    Raises ``PermanentError`` with the code that fits, and ``TransientError`` where the storage does not answer.
    """
    described = Described(model.type, model.config)
    try:
        list(models_in(model.type, model.config))
    except ValueError as error:
        raise described.unsupported(f"is described in a way that makes no sense ({error})", field=COMPONENTS) from error
    layout = Layout(locate, storage)
    kind, main = lay_model(layout, described)
    bring_genai_along(layout)
    return layout.source(kind, main)
