"""Models that are not one ONNX model, laid out as they are."""

from __future__ import annotations

from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.modelpaths import MODEL_PATH
from packhouse.worker.models.described import Described
from packhouse.worker.models.onnx import inspect
from packhouse.worker.models.parts import OnnxMain
from packhouse.worker.models.source_layout import Layout
from packhouse.worker.storage.failures import said
from packhouse.worker.storage.location import Location


def lay_other(layout: Layout, model: Described, location: Location, *, folder: bool) -> str:
    """A file, or a folder with all that is in it."""
    name = "" if folder else location.name
    for relative, place in layout.walk(location).items() if folder else [(name, location)]:
        layout.open(model.prefix + relative, place)
    layout.places[model.key(MODEL_PATH)] = (model.prefix + name).rstrip("/")
    return model.prefix + name if name else ""


def lay_openvino(layout: Layout, model: Described, location: Location, *, folder: bool) -> str:
    """OpenVINO IR: an ``.xml`` file with the ``.bin`` file of the same name. Olive opens it by its folder only."""
    weights = {"xml": "bin", "XML": "BIN"}
    if folder:
        found = layout.walk(location)
        topologies = [name for name in found if "/" not in name and name.lower().endswith(".xml")]
        if not topologies:
            raise PermanentError(
                ErrorCode.MODEL_MISSING,
                f"{said(location.shown)} holds no .xml file, and is no OpenVINO model.",
                fix="Give the folder of an OpenVINO IR: an .xml file and a .bin file.",
            )
    else:
        found, topologies = {location.name: location}, [location.name]
    base = location if folder else location.parent
    for name in topologies:
        beside = f"{name[:-3]}{weights.get(name[-3:], 'bin')}"
        with layout.storage.open_file(base.child(beside), missing=ErrorCode.EXTERNAL_DATA_MISSING):
            found.setdefault(beside, base.child(beside))
    for relative, place in found.items():
        layout.open(model.prefix + relative, place)
    layout.places[model.key(MODEL_PATH)] = model.place
    return ""


def lay_distributed(layout: Layout, model: Described, location: Location) -> str:
    """Olive's ``DistributedOnnxModel``: one ONNX file for each of ``num_ranks`` devices, in one folder."""
    found = layout.walk(location)
    ranked = [name for name in found if "/" not in name and name.lower().endswith(".onnx")]
    wanted = model.config.get("num_ranks")
    if not ranked or (isinstance(wanted, int) and len(ranked) < wanted):
        raise PermanentError(
            ErrorCode.MODEL_MISSING,
            f"{said(location.shown)} holds {len(ranked)} ONNX files, and num_ranks is {wanted}.",
            fix="Check model_path and num_ranks, and that the engine has not cleaned up since.",
        )
    for name in ranked:
        onnx = inspect(found[name], layout.storage)
        layout.put_onnx(model.prefix, name, onnx)
        layout.onnx.append(OnnxMain(model.prefix + name, model.component, model.at, onnx.ep_contexts))
    return lay_other(layout, model, location, folder=True)
