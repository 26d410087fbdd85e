"""What a model config names beside the model: adapters, scripts that open it, ``additional_files``."""

from __future__ import annotations

from typing import Final

from packhouse.schemas.modelpaths import SCRIPT_DIR, ConfigPath, PathRole, own_paths
from packhouse.schemas.paths import relative_to
from packhouse.worker.models.described import Described
from packhouse.worker.models.source_layout import Layout
from packhouse.worker.storage.failures import forbidden, said
from packhouse.worker.storage.location import Location

_ADAPTER: Final = "adapter_path"
_FOLDERS: Final = {_ADAPTER: "adapter", SCRIPT_DIR: "scripts", "test_model_path": "test_model"}


def lay_parts(layout: Layout, model: Described, folder: Location | None) -> None:
    """Lay out all of it: what lies in the model's folder keeps its place there, the rest lies beside the model.

    Of ``script_dir``, which may be any folder of the engine's user, the Python files alone. Raises ``PermanentError``
    (``model_type_unsupported`` for the name of an adapter on a hub, ``path_forbidden``, ``layout_conflict``, …).
    """
    for each in own_paths(model.config):
        if each.role is PathRole.MODEL:
            continue
        if each.is_absolute:
            layout.places[*model.at, *each.at] = _lay(layout, model, each, folder)
        elif each.at[-1] == _ADAPTER:
            raise model.unsupported(
                f"has the adapter_path {said(each.path)!r}, the name of an adapter on a hub and no place on disk",
                field=_ADAPTER,
            )
        elif each.role is PathRole.ADDITIONAL:
            raise forbidden(each.path, "(additional_files) is no absolute path: it depends on where the engine ran")


def _lay(layout: Layout, model: Described, each: ConfigPath, folder: Location | None) -> str:
    location = layout.locate(each.path)
    place = layout.place_of(location, model.prefix)
    if place is not None:
        return place
    within = relative_to(each.path, folder.shown) if folder else None
    if not layout.storage.is_folder(location):
        place = model.prefix + (within or location.name)
        layout.open(place, location)
        return place
    key = str(each.at[-1])
    name = within if within is not None else _FOLDERS.get(key, location.name)
    place = (model.prefix + name).rstrip("/") if within is not None else layout.free(model.prefix + name)
    for relative, file in layout.walk(location).items():
        # What lies in the model's folder may have its place already, and another name there.
        if key == SCRIPT_DIR and not relative.endswith(".py"):
            continue
        if within is None or layout.place_of(file, model.prefix) is None:
            layout.open(f"{place}/{relative}" if place else relative, file)
    return place
