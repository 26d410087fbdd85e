"""Every ``genai_config.json`` of a model brought along: the files that it names travel, under the names it gives them.

Source of the rule: ONNX Runtime generate() opens the files that the config names relative to the config's folder.
"""

from __future__ import annotations

import posixpath
from typing import Final

from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.genai import GENAI_CONFIG, file_names, renamed
from packhouse.schemas.paths import inside
from packhouse.worker.models.genai import read_config
from packhouse.worker.models.onnx import inspect
from packhouse.worker.models.parts import OnnxMain, SourceFile
from packhouse.worker.models.source_layout import Layout
from packhouse.worker.storage.failures import forbidden, said

_MOST_FILES: Final = 10_000


def bring_genai_along(layout: Layout) -> None:
    """See to each ``genai_config.json`` that is laid out. One that still names the right files stays as it is.

    Raises ``PermanentError``: ``model_missing`` for a file that it names and that is nowhere, ``path_forbidden`` for a
    name that leads out of its folder, ``model_unreadable``.
    """
    for file in [each for path, each in layout.files.items() if path.rpartition("/")[2] == GENAI_CONFIG]:
        with layout.storage.open_file(file.location) as opened:
            config = read_config(opened)
        names = file_names(config)
        if not names:
            continue
        if len(names) > _MOST_FILES:
            raise forbidden(file.location.shown, f"names more than {_MOST_FILES} files")
        layout.generative = True
        now = {name: _now(layout, file, name, alone=len(names) == 1) for name in names}
        if any(name != new for name, new in now.items()):
            layout.replace(file.relative, renamed(config, now.__getitem__))


def _now(layout: Layout, config: SourceFile, name: str, *, alone: bool) -> str:
    """What a file is to be called in the config that names it."""
    relative = inside(name)
    if relative is None:
        raise forbidden(f"{config.location.parent.shown}/{name}", f"(named by {GENAI_CONFIG}) lies outside its folder")
    prefix = config.relative[: -len(GENAI_CONFIG)]
    location = config.location.parent.child(relative)
    place = layout.place_of(location, prefix) or _kept(layout, prefix + relative)
    if place is None:
        try:
            model = inspect(location, layout.storage)
        except PermanentError as error:
            if error.code is not ErrorCode.MODEL_MISSING:
                raise
            place = _the_only(layout.onnx) if alone else None
            if place is None:
                raise PermanentError(
                    ErrorCode.MODEL_MISSING,
                    f"{said(config.location.shown)} names {said(name)!r}, and no such file is there.",
                    fix="Save the model again with all the files that its genai_config.json names.",
                ) from error
        else:
            place = prefix + relative
            folder, _, file = place.rpartition("/")
            layout.put_onnx(f"{folder}/" if folder else "", file, model)
    new = posixpath.relpath(place, prefix or ".")
    return name if new == relative else new


def _kept(layout: Layout, place: str) -> str | None:
    return place if place in layout.files else None


def _the_only(models: list[OnnxMain]) -> str | None:
    return models[0].main if len(models) == 1 else None
