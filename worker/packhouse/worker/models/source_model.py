"""A model of whatever kind, laid out in a folder: here the kinds are told apart."""

from __future__ import annotations

from packhouse.worker.models.described import Described
from packhouse.worker.models.parts import SourceKind
from packhouse.worker.models.source_composite import lay_components
from packhouse.worker.models.source_layout import Layout
from packhouse.worker.models.source_onnx import lay_onnx
from packhouse.worker.models.source_other import lay_distributed, lay_openvino, lay_other
from packhouse.worker.models.source_parts import lay_parts


def lay_model(layout: Layout, model: Described) -> tuple[SourceKind, str]:
    """Lay out a model with all that belongs to it. Returns what it is, and its main file as of a ``ModelSource``."""
    if model.is_composite:
        lay_components(layout, model, lay_model)
        return SourceKind.COMPOSITE, ""
    location = layout.locate(model.path())
    folder = layout.storage.is_folder(location)
    if model.kind == "onnxmodel":
        kind = SourceKind.ONNX_FOLDER if folder else SourceKind.ONNX_FILE
        main = lay_onnx(layout, model, location, folder=folder)
    elif model.kind == "openvinomodel" and (folder or location.name.lower().endswith(".xml")):
        kind, main = SourceKind.FOLDER, lay_openvino(layout, model, location, folder=folder)
    elif model.kind == "distributedonnxmodel" and folder:
        kind, main = SourceKind.FOLDER, lay_distributed(layout, model, location)
    else:
        kind = SourceKind.FOLDER if folder else SourceKind.FILE
        main = lay_other(layout, model, location, folder=folder)
    lay_parts(layout, model, location if folder else location.parent)
    return kind, main
