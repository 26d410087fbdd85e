"""An ONNX model that an engine describes, laid out so that it becomes ``model.onnx``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.files import ONNX_MODEL
from packhouse.schemas.genai import GENAI_CONFIG, file_names
from packhouse.schemas.modelpaths import (
    CONSTANT_INPUTS,
    EXTERNAL_INITIALIZERS,
    MODEL_PATH,
    ONNX_FILE_NAME,
    given_tensors,
)
from packhouse.schemas.paths import inside
from packhouse.worker.models.described import Described
from packhouse.worker.models.genai import read_config
from packhouse.worker.models.onnx import inspect
from packhouse.worker.models.parts import OnnxMain
from packhouse.worker.models.source_layout import Layout
from packhouse.worker.storage.failures import forbidden, said
from packhouse.worker.storage.location import Location


def lay_onnx(layout: Layout, model: Described, location: Location, *, folder: bool) -> str:
    """An ONNX model with all of its folder, where that is named, or all that it refers to. Returns its place.

    Olive looks for ``external_initializers_file_name`` and ``constant_inputs_file_name`` in ``model_path``, which must
    be a folder then; otherwise ``model_path`` names the file.
    """
    home = location if folder else location.parent
    if folder or _is_generative(layout, home, location.name):
        found = layout.walk(home)
        inner = _onnx_in(found, named_in(model.config), location) if folder else location.name
    else:
        found, inner = {location.name: location}, location.name
    below = inner[: len(inner) - len(inner.rpartition("/")[2])]
    onnx = inspect(found[inner], layout.storage, given=given_tensors(model.config))
    main = model.prefix + below + ONNX_MODEL
    layout.put_onnx(model.prefix + below, ONNX_MODEL, onnx)
    for relative, place in found.items():
        if relative != inner:
            layout.open(model.prefix + relative, place)
    extra = _extra(layout, model, home, model.prefix)
    if any(extra):
        layout.places[model.key(MODEL_PATH)] = model.place
        layout.names[model.key(ONNX_FILE_NAME)] = below + ONNX_MODEL
    else:
        layout.places[model.key(MODEL_PATH)] = main
        if model.config.get(ONNX_FILE_NAME):
            layout.names[model.key(ONNX_FILE_NAME)] = ONNX_MODEL
    layout.onnx.append(OnnxMain(main, model.component, model.at, onnx.ep_contexts, *extra))
    return main


def lay_onnx_where_it_is(layout: Layout, model: Described, place: str, location: Location) -> None:
    """An ONNX model in a folder that is laid out already, its ``model_path`` at ``place``: it keeps its name."""
    if layout.storage.is_folder(location):
        base, home = f"{place}/" if place else "", location
        files = layout.files.values()
        found = {file.relative[len(base) :]: file.location for file in files if file.relative.startswith(base)}
        inner = _onnx_in(found, named_in(model.config), location)
    else:
        base, home = place[: len(place) - len(location.name)], location.parent
        inner = location.name
    main = base + inner
    onnx = inspect(layout.files[main].location, layout.storage, given=given_tensors(model.config))
    name = main.rpartition("/")[2]
    layout.put_onnx(main[: len(main) - len(name)], name, onnx)
    layout.places[model.key(MODEL_PATH)] = place
    extra = _extra(layout, model, home, base)
    layout.onnx.append(OnnxMain(main, model.component, model.at, onnx.ep_contexts, *extra))


def named_in(config: Mapping[str, Any]) -> str | None:
    """The ``onnx_file_name`` of a config."""
    named = config.get(ONNX_FILE_NAME)
    return named if isinstance(named, str) and named else None


def _extra(layout: Layout, model: Described, folder: Location, prefix: str) -> tuple[str | None, str | None]:
    """The files of initializers and of constant inputs that a config names relative to the model's folder: laid out."""
    places: list[str | None] = []
    for key in (EXTERNAL_INITIALIZERS, CONSTANT_INPUTS):
        named = model.config.get(key)
        if not isinstance(named, str) or not named:
            places.append(None)
            continue
        relative = _inside(named, key, folder)
        layout.open(prefix + relative, folder.child(relative))
        places.append(prefix + relative)
    return places[0], places[1]


def _is_generative(layout: Layout, folder: Location, name: str) -> bool:
    """Whether a ``genai_config.json`` beside an ONNX file names it: the folder is the model then.

    Nothing told of that file: one that cannot be read is no part of the model.
    """
    try:
        with layout.storage.open_file(folder.child(GENAI_CONFIG)) as file:
            return name in [inside(each) for each in file_names(read_config(file))]
    except PermanentError:
        return False


def _onnx_in(found: Mapping[str, Location], named: str | None, folder: Location) -> str:
    if named is not None:
        relative = _inside(named, ONNX_FILE_NAME, folder)
        if relative in found:
            return relative
        raise PermanentError(
            ErrorCode.MODEL_MISSING,
            f"{said(folder.shown)} holds no file {said(named)} (onnx_file_name).",
            fix="Check onnx_file_name, and that the engine has not cleaned up since.",
            field=ONNX_FILE_NAME,
        )
    candidates = [relative for relative in found if "/" not in relative and relative.lower().endswith(".onnx")]
    if len(candidates) == 1:
        return candidates[0]
    what = f"{len(candidates)} ONNX files ({', '.join(candidates[:10])})" if candidates else "no ONNX file"
    raise PermanentError(
        ErrorCode.LAYOUT_CONFLICT if candidates else ErrorCode.MODEL_MISSING,
        f"{said(folder.shown)} holds {what}, and no onnx_file_name says which is the model.",
        fix="Give the model's config an onnx_file_name.",
        field=ONNX_FILE_NAME,
    )


def _inside(named: str, key: str, folder: Location) -> str:
    relative = inside(named)
    if relative is None:
        raise forbidden(f"{folder.shown}/{named}", f"({key}) lies outside the model's folder")
    return relative
