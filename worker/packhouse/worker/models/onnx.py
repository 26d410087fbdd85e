"""An ONNX model and the files that it takes its tensors from, all seen to be there and whole."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.onnx import ExternalTensor, external_locations
from packhouse.worker.storage.failures import said
from packhouse.worker.storage.location import Location
from packhouse.worker.storage.storage import Storage

_DRIVE: Final = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True)
class ExternalFile:
    """A file that tensors of a model lie in."""

    relative: str
    """The name that the graph refers to, relative to the model's folder: forward slashes, no dots."""
    location: Location
    size: int
    mark: str


@dataclass(frozen=True)
class OnnxModel:
    """A model that reads as ONNX, with its external data."""

    model: Location
    size: int
    mark: str
    external: tuple[ExternalFile, ...]
    """Each file once, sorted by ``relative`` in UTF-8."""


def inspect(location: Location, storage: Storage) -> OnnxModel:
    """Look at an ONNX file and at every file its tensors lie in, without reading a weight.

    Raises ``PermanentError``: ``model_not_onnx``, ``external_data_outside`` for a name that leads out of the model's
    folder, ``external_data_missing``, ``external_data_truncated`` for a tensor beyond its file's end, and whatever
    ``Storage.open_file`` raises.
    """
    with storage.open_file(location) as file:
        tensors = external_locations(file, shown=said(location.shown))
        size, mark = file.size, file.mark
    furthest = _furthest(tensors, location)
    external = [_external_file(relative, tensor, location, storage) for relative, tensor in furthest.items()]
    return OnnxModel(location, size, mark, tuple(sorted(external, key=lambda file: file.relative.encode())))


def inside(path: str) -> str | None:
    """A relative path, of Windows or not, with plain forward slashes; None where it leads out of its folder.

    Law: what comes back has no empty component, no ``.``, no ``..`` and no drive.
    """
    parts: list[str] = []
    path = path.replace("\\", "/")
    if path.startswith("/"):
        return None
    for part in path.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    plain = "/".join(parts)
    return None if not plain or _DRIVE.match(plain) else plain


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
