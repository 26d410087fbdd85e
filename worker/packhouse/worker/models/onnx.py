"""An ONNX model and the files that it takes its tensors from, all seen to be there and whole."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass

from packhouse.schemas.epcontext import EPContext, ep_contexts
from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.onnx import ExternalTensor, external_locations
from packhouse.schemas.paths import inside
from packhouse.worker.storage.failures import said
from packhouse.worker.storage.location import Location
from packhouse.worker.storage.storage import Storage

__all__ = ["ExternalFile", "OnnxModel", "inside", "inspect"]


@dataclass(frozen=True)
class ExternalFile:
    """A file that a model refers to: tensors lie in it, or what was compiled for an execution provider."""

    relative: str
    """The name that the graph refers to, relative to the model's folder: forward slashes, no dots."""
    location: Location
    size: int
    mark: str


@dataclass(frozen=True)
class OnnxModel:
    """A model that reads as ONNX, with every file that it refers to."""

    model: Location
    size: int
    mark: str
    external: tuple[ExternalFile, ...]
    """Each file once, sorted by ``relative`` in UTF-8."""
    ep_contexts: tuple[str, ...] = ()
    """What made its EPContext nodes, each once, sorted; empty text where a node does not say."""


def inspect(location: Location, storage: Storage, *, given: Container[str] = ()) -> OnnxModel:
    """Look at an ONNX file and at every file that it refers to, without reading a weight.

    ``given`` are tensors that a session is given beside the model: where the file of such a one is not there, none is
    needed.

    Raises ``PermanentError``: ``model_not_onnx``, ``external_data_outside`` for a name that leads out of the model's
    folder, ``external_data_missing``, ``external_data_truncated`` for a tensor beyond its file's end, and whatever
    ``Storage.open_file`` raises.
    """
    with storage.open_file(location) as file:
        tensors = external_locations(file, shown=said(location.shown))
        contexts = ep_contexts(file, shown=said(location.shown))
        size, mark = file.size, file.mark
    furthest = _furthest(tensors, location)
    external: dict[str, ExternalFile] = {}
    for relative, tensor in furthest.items():
        try:
            external[relative] = _external_file(relative, tensor, location, storage)
        except PermanentError as error:
            lying_there = (each for each in tensors if inside(each.location) == relative)
            if error.code is not ErrorCode.EXTERNAL_DATA_MISSING or any(each.name not in given for each in lying_there):
                raise
    for file in _context_files(contexts, location, storage):
        external.setdefault(file.relative, file)
    return OnnxModel(
        location,
        size,
        mark,
        tuple(sorted(external.values(), key=lambda file: file.relative.encode())),
        tuple(sorted({context.source for context in contexts})),
    )


def _furthest(tensors: Iterable[ExternalTensor], model: Location) -> dict[str, ExternalTensor]:
    """Of each file, the tensor that reaches furthest into it."""
    furthest: dict[str, ExternalTensor] = {}
    relatives: dict[str, str] = {}
    for tensor in tensors:
        relative = relatives.get(tensor.location) or inside(tensor.location)
        if relative is None:
            raise PermanentError(
                ErrorCode.EXTERNAL_DATA_OUTSIDE,
                f"{said(model.shown)} has its tensor {tensor.name!r} in {tensor.location!r}, "
                "which leads out of the model's folder.",
                fix="Save the model again with its external data beside it, under a relative name.",
            )
        relatives[tensor.location] = relative
        if relative not in furthest or _end(tensor) > _end(furthest[relative]):
            furthest[relative] = tensor
    return furthest


def _end(tensor: ExternalTensor) -> int:
    return tensor.offset + (tensor.length or 0)


def _external_file(relative: str, tensor: ExternalTensor, model: Location, storage: Storage) -> ExternalFile:
    location = model.parent.child(relative)
    with storage.open_file(location, missing=ErrorCode.EXTERNAL_DATA_MISSING) as file:
        if _end(tensor) > file.size:
            raise PermanentError(
                ErrorCode.EXTERNAL_DATA_TRUNCATED,
                f"{said(location.shown)} has {file.size} bytes, but tensor {tensor.name!r} of {said(model.shown)} "
                f"reaches to byte {_end(tensor)}.",
                fix="The file is cut short or of another model: save or copy the model again with its external data.",
            )
        return ExternalFile(relative, location, file.size, file.mark)


def _context_files(contexts: Iterable[EPContext], model: Location, storage: Storage) -> list[ExternalFile]:
    """The files that EPContext nodes name; one of OpenVINO IR comes with its weights."""
    found: dict[str, ExternalFile] = {}
    for context in contexts:
        if context.location is None or context.location in found:
            continue
        relative = inside(context.location)
        if relative is None:
            raise PermanentError(
                ErrorCode.EXTERNAL_DATA_OUTSIDE,
                f"The EPContext node {context.node!r} of {said(model.shown)} names {context.location!r}, "
                "which leads out of the model's folder.",
                fix="Save the model again with its context file beside it, under a relative name.",
            )
        found[context.location] = _whole_file(relative, model, storage)
        if relative.lower().endswith(".xml"):
            weights = relative[: -len("xml")] + "bin"
            found[weights] = _whole_file(weights, model, storage)
    return list(found.values())


def _whole_file(relative: str, model: Location, storage: Storage) -> ExternalFile:
    location = model.parent.child(relative)
    with storage.open_file(location, missing=ErrorCode.EXTERNAL_DATA_MISSING) as file:
        return ExternalFile(relative, location, file.size, file.mark)
