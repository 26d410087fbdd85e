"""A model made of several, laid out: each component in a folder of its own, or together where they share one."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Final

from packhouse.schemas.base import is_absolute
from packhouse.schemas.modelpaths import COMPONENTS, MODEL_PATH, Component, components, local_path
from packhouse.schemas.paths import components as parts_of
from packhouse.schemas.paths import relative_to
from packhouse.worker.models.described import Described
from packhouse.worker.models.source_layout import Layout
from packhouse.worker.models.source_onnx import lay_onnx_where_it_is
from packhouse.worker.models.source_parts import lay_parts

_STRANGE: Final = re.compile(r"[^A-Za-z0-9._-]+")
_RESERVED: Final = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)
_LONGEST_NAME: Final = 100


def lay_components(layout: Layout, model: Described, lay_model: Callable[[Layout, Described], Any]) -> None:
    """Lay out every component. ``lay_model`` does it for one in a folder of its own.

    Components share a folder where the composite's ``model_path`` holds them (Olive 0.13), or where several name one
    folder: they may share weights there, and a ``genai_config.json`` names them by the names that they have.
    """
    parts = components(model.config)
    if not parts:
        raise model.unsupported("is made of several models but names none", field=COMPONENTS)
    own = _folder(layout, model.config)
    alone = parts
    if own is not None:
        together = [part for part in parts if _within(part, own) is not None]
        _lay_together(layout, model, model.prefix, own, together)
        layout.places[model.key(MODEL_PATH)] = model.place
        alone = [part for part in parts if _within(part, own) is None]
    for folder, together in _shared(layout, alone):
        whole = own is None and len(together) == len(parts)
        prefix = model.prefix if whole else _new_folder(layout, model, together[0].name)
        _lay_together(layout, model, prefix, folder, together)
        alone = [part for part in alone if part not in together]
    for part in alone:
        lay_model(layout, model.of(part, _new_folder(layout, model, part.name)))
    lay_parts(layout, model, layout.locate(own) if own else None)


def folder_name(name: str) -> str:
    """A component's name as the name of a folder that every system takes.

    Law: it has 1 to 100 ASCII characters, no slash, no leading or trailing dot, and is no device of Windows.
    """
    plain = _STRANGE.sub("_", name)[:_LONGEST_NAME].strip(".") or "component"
    return f"_{plain}"[:_LONGEST_NAME] if _RESERVED.fullmatch(plain) else plain


def _new_folder(layout: Layout, model: Described, name: str) -> str:
    return layout.free(model.prefix + folder_name(name)) + "/"


def _folder(layout: Layout, config: Any) -> str | None:
    """The ``model_path``, if it is a folder. Olive 0.6 has names there that mean nothing."""
    path = local_path(config.get(MODEL_PATH))
    if path is None or not is_absolute(path):
        return None
    return path if layout.storage.is_folder(layout.locate(path)) else None


def _within(part: Component, folder: str) -> str | None:
    """Where a component lies below a folder; None for one that lies elsewhere, or is made of several itself."""
    path = local_path(part.config.get(MODEL_PATH))
    if path is None or not is_absolute(path) or COMPONENTS in part.config:
        return None
    return relative_to(path, folder)


def _shared(layout: Layout, parts: Sequence[Component]) -> list[tuple[str, list[Component]]]:
    """The folders that more than one component names as its own, with those components."""
    by_folder: dict[tuple[str, ...], list[Component]] = defaultdict(list)
    for part in parts:
        path = local_path(part.config.get(MODEL_PATH))
        if path is not None and is_absolute(path) and COMPONENTS not in part.config:
            by_folder[parts_of(path)].append(part)
    found: list[tuple[str, list[Component]]] = []
    for together in by_folder.values():
        folder = _folder(layout, together[0].config) if len(together) > 1 else None
        if folder is not None:
            found.append((folder, together))
    return found


def _lay_together(layout: Layout, model: Described, prefix: str, folder: str, parts: Sequence[Component]) -> None:
    """A folder with all that is in it, and the components that are there."""
    root = layout.locate(folder)
    for relative, place in layout.walk(root).items():
        layout.open(prefix + relative, place)
    for part in parts:
        described = model.of(part, prefix)
        place = (prefix + (_within(part, folder) or "")).rstrip("/")
        if described.kind == "onnxmodel":
            lay_onnx_where_it_is(layout, described, place, layout.locate(described.path()))
        else:
            layout.places[described.key(MODEL_PATH)] = place
        lay_parts(layout, described, root)
