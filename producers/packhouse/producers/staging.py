"""Copying a run's models to a folder that stays, for engines that clean up behind themselves."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from pydantic import JsonValue

from packhouse.producers.filecopy import FileCopier, sync_folder, writing_to
from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.events import FinishedRun
from packhouse.schemas.footprint import Footprint, Node
from packhouse.schemas.onnx import external_locations

Progress = Callable[[int, int], None]
"""Is told the bytes that are staged, and those that there are to stage."""

_KEY_LENGTH: Final = 16


@dataclass
class _Unit:
    """A model as it is staged: files by their path relative to the unit, and which of them the model is."""

    name: str
    """The path of the model within the unit; empty for a folder, which the unit is then itself."""
    files: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def key(self) -> str:
        """The same for the same files in the same state, so that staging twice gives the same paths."""
        digest = hashlib.sha256()
        for relative, source in sorted(self.files.items()):
            status = os.stat(source)
            state = (relative, os.path.realpath(source), str(status.st_size), str(status.st_mtime_ns))
            digest.update("\0".join(state).encode("utf-8", "surrogateescape") + b"\0\0")
        return digest.hexdigest()[:_KEY_LENGTH]

    @property
    def size(self) -> int:
        return sum(os.stat(source).st_size for source in self.files.values())


def stage(run: FinishedRun, folder: str | os.PathLike[str], *, progress: Progress | None = None) -> FinishedRun:
    """The run with its candidates' models in ``folder``: copies that share blocks where the file system can, hard
    links where that can, else whole copies. ONNX models take their external data with them.

    The run's paths must be those of this machine. Each model appears under its name only once it is whole; what is
    there already is not copied again, so that staging and publishing a run twice is still one run.

    Raises ``PermanentError``: ``model_missing``, ``external_data_missing``, ``external_data_outside``,
    ``model_not_onnx``, ``destination_unwritable``, ``disk_full``; each names the node.
    """
    target = os.path.abspath(folder)
    units: dict[str, _Unit] = {}
    for node in (node for footprint in run.footprints for node in candidates(footprint)):
        for path in _model_paths(node):
            if path not in units:
                units[path] = _survey(path, node)
    staged = _copy_all(units, target, progress)
    footprints = [
        footprint.model_copy(update={"nodes": [_moved(node, staged) for node in footprint.nodes]})
        for footprint in run.footprints
    ]
    directories = sorted({*run.engine.directories, target})
    engine = run.engine.model_copy(update={"directories": directories})
    return run.model_copy(update={"footprints": footprints, "engine": engine})


def candidates(footprint: Footprint) -> list[Node]:
    """The nodes that are to be packaged: those that the engine put out, else the ends of the lineage."""
    usable = [
        node
        for node in footprint.nodes
        if node.model is not None and not node.is_input and not node.model.config.get("is_pruned")
    ]
    if any(node.is_output for node in footprint.nodes):
        return [node for node in usable if node.is_output]
    parents = {node.parent_model_id for node in usable}
    return [node for node in usable if node.model_id not in parents]


def _model_paths(node: Node) -> Iterator[str]:
    """The absolute path of the node's model, or those of its components."""
    config: dict[str, JsonValue] = node.model.config if node.model else {}
    components = config.get("model_components")
    configs = [config, *(components if isinstance(components, list) else [])]
    for each in configs:
        inner = each.get("config", each) if isinstance(each, dict) else None
        path = inner.get("model_path") if isinstance(inner, dict) else None
        if isinstance(path, str) and os.path.isabs(path):
            yield path


def _moved(node: Node, staged: dict[str, str]) -> Node:
    if node.model is None:
        return node
    return node.model_copy(update={"model": node.model.model_copy(update={"config": _replaced(node.model.config, staged)})})


def _replaced(value: JsonValue, staged: dict[str, str]) -> JsonValue:
    if isinstance(value, list):
        return [_replaced(item, staged) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: staged.get(item, item) if name == "model_path" and isinstance(item, str) else _replaced(item, staged)
        for name, item in value.items()
    }


def _survey(path: str, node: Node) -> _Unit:
    """All files that belong to a model."""
    if os.path.isdir(path):
        return _Unit("", dict(_walk(path)))
    if not os.path.isfile(path):
        raise PermanentError(
            ErrorCode.MODEL_MISSING,
            f"The model of {node.model_id!r} is not at {path}.",
            fix="Stage before the engine cleans its cache, on a machine that sees the engine's files.",
        )
    unit = _Unit(os.path.basename(path), {os.path.basename(path): path})
    if path.endswith(".onnx"):
        for location in sorted({tensor.location for tensor in external_locations(path)}):
            relative = os.path.normpath(location)
            source = os.path.join(os.path.dirname(path), relative)
            if os.path.isabs(relative) or relative.split(os.sep)[0] == os.pardir:
                raise PermanentError(
                    ErrorCode.EXTERNAL_DATA_OUTSIDE,
                    f"The model of {node.model_id!r} ({path}) has its data at {location!r}, outside of its folder.",
                    fix="Save the model with its external data beside it.",
                )
            if not os.path.isfile(source):
                raise PermanentError(
                    ErrorCode.EXTERNAL_DATA_MISSING,
                    f"The model of {node.model_id!r} ({path}) has data at {location!r}, and no such file is there.",
                    fix="Stage before the engine cleans its cache, or save the model again.",
                )
            unit.files[relative] = source
    return unit


def _walk(folder: str) -> Iterator[tuple[str, str]]:
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            source = os.path.join(root, name)
            if os.path.isfile(source):
                yield os.path.relpath(source, folder), source


def _copy_all(units: dict[str, _Unit], target: str, progress: Progress | None) -> dict[str, str]:
    total = sum(unit.size for unit in units.values())
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if progress:
            progress(done, total)

    copier = FileCopier(advance)
    staged: dict[str, str] = {}
    for path, unit in units.items():
        place = os.path.join(target, unit.key)
        with writing_to(target):
            if os.path.isdir(place):
                advance(unit.size)
            else:
                _copy_unit(unit, place, copier)
        staged[path] = os.path.join(place, unit.name) if unit.name else place
    return staged


def _copy_unit(unit: _Unit, place: str, copier: FileCopier) -> None:
    unfinished = f"{os.path.dirname(place)}/.{os.path.basename(place)}.{secrets.token_hex(4)}"
    try:
        for relative, source in unit.files.items():
            destination = os.path.join(unfinished, relative)
            os.makedirs(os.path.dirname(destination), exist_ok=True)
            copier.copy(source, destination)
        os.makedirs(unfinished, exist_ok=True)
        sync_folder(unfinished)
        try:
            os.rename(unfinished, place)
        except OSError:
            # Somebody else was faster, with the same files; anything else is an error.
            if not os.path.isdir(place):
                raise
        copier.moved(unfinished, place)
        sync_folder(os.path.dirname(place))
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
