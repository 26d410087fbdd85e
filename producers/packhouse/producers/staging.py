"""Copying a run's models to a folder that stays, for engines that clean up behind themselves."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final, Self

from pydantic import JsonValue

from packhouse.producers.filecopy import FileCopier, sync_folder, writing_to
from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.events import FinishedRun
from packhouse.schemas.footprint import Node
from packhouse.schemas.onnx import external_locations
from packhouse.schemas.selection import candidates

Progress = Callable[[int, int], None]
"""Is told the bytes that are staged, and those that there are to stage."""

_KEY_LENGTH: Final = 16
_ONNX: Final = ".onnx"


@dataclass
class Unit:
    """What is staged together, and becomes visible at once: a folder, or the models and data that lie in one.

    ``files`` are by their path in the unit. ``data`` are those of them that hold a model's external data.
    """

    files: dict[str, Path] = field(default_factory=dict[str, Path])
    data: set[str] = field(default_factory=set[str])

    @property
    def key(self) -> str:
        """The same for the same files in the same state, so that staging twice gives the same paths."""
        digest = hashlib.sha256()
        for relative, source in sorted(self.files.items()):
            status = source.stat()
            state = (relative, str(source.resolve()), str(status.st_size), str(status.st_mtime_ns))
            digest.update("\0".join(state).encode("utf-8", "surrogateescape") + b"\0\0")
        return digest.hexdigest()[:_KEY_LENGTH]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(source.stat().st_size for source in self.files.values())


@dataclass
class Models:
    """The models of a run's candidates on this machine."""

    run: FinishedRun
    units: dict[Path, Unit] = field(default_factory=dict[Path, Unit])
    """By the folder that each lies in now."""
    names: dict[str, tuple[Path, str]] = field(default_factory=dict[str, tuple[Path, str]])
    """Of each model's path as the run has it: the folder of its unit, and its name in there (empty: the folder)."""

    @classmethod
    def of(cls, run: FinishedRun) -> Self:
        """Find every file. Raises ``PermanentError`` as ``stage`` does."""
        models = cls(run)
        for node in (node for footprint in run.footprints for node in candidates(footprint)):
            for text in _model_paths(node):
                path = Path(text)
                # Models that lie in one folder may share their data: together they take it along once.
                models.names[text] = (path, "") if path.is_dir() else (path.parent, path.name)
                _survey(path, node, models.units.setdefault(models.names[text][0], Unit()))
        return models

    def moved(self, place: Callable[[Path, str], str], target: str) -> FinishedRun:
        """The run with its models where ``place`` says, by folder and name; all of it below ``target``."""
        staged = {text: place(folder, name) for text, (folder, name) in self.names.items()}
        footprints = [
            footprint.model_copy(update={"nodes": [_moved(node, staged) for node in footprint.nodes]})
            for footprint in self.run.footprints
        ]
        directories = sorted({*self.run.engine.directories, target})
        engine = self.run.engine.model_copy(update={"directories": directories})
        return self.run.model_copy(update={"footprints": footprints, "engine": engine})


def stage(run: FinishedRun, folder: str | os.PathLike[str], *, progress: Progress | None = None) -> FinishedRun:
    """The run with its candidates' models in ``folder``, ONNX models with their external data.

    Copies share blocks where the file system can, are hard links where that can, else whole copies. The run's paths
    must be those of this machine. Each model appears under its name only once it is whole; what is there already is
    not copied again, so that staging and publishing a run twice is still one run.

    Raises ``PermanentError``: ``model_missing``, ``external_data_missing``, ``external_data_outside``,
    ``model_not_onnx``, ``destination_unwritable``, ``disk_full``; each names the model.
    """
    target = Path(folder).absolute()
    models = Models.of(run)
    places = _copy_all(models.units, target, progress)
    return models.moved(lambda folder, name: str(places[folder] / name), str(target))


def _model_paths(node: Node) -> Iterator[str]:
    """The absolute path of the node's model, or those of its components."""
    config: dict[str, JsonValue] = node.model.config if node.model else {}
    components = config.get("model_components")
    configs = [config, *(components if isinstance(components, list) else [])]
    for each in configs:
        inner = each.get("config", each) if isinstance(each, dict) else None
        path = inner.get("model_path") if isinstance(inner, dict) else None
        if isinstance(path, str) and Path(path).is_absolute():
            yield path


def _moved(node: Node, staged: dict[str, str]) -> Node:
    if node.model is None:
        return node
    model = node.model.model_copy(update={"config": _replaced(node.model.config, staged)})
    return node.model_copy(update={"model": model})


def _replaced(value: JsonValue, staged: dict[str, str]) -> JsonValue:
    if isinstance(value, list):
        return [_replaced(item, staged) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: staged.get(item, item) if name == "model_path" and isinstance(item, str) else _replaced(item, staged)
        for name, item in value.items()
    }


def _survey(path: Path, node: Node, unit: Unit) -> None:
    """Adds all files that belong to a model."""
    if path.is_dir():
        unit.files.update({file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()})
        for relative in [name for name in unit.files if name.endswith(_ONNX)]:
            inner = PurePosixPath(relative).parent
            unit.data.update(str(inner / each) for each in _external_data(path / relative, node))
        return
    if not path.is_file():
        raise PermanentError(
            ErrorCode.MODEL_MISSING,
            f"The model of {node.model_id!r} is not at {path}.",
            fix="Stage before the engine cleans its cache, on a machine that sees the engine's files.",
        )
    unit.files[path.name] = path
    if path.suffix == _ONNX:
        data = {each: path.parent / each for each in _external_data(path, node)}
        unit.files.update(data)
        unit.data.update(data)


def _external_data(path: Path, node: Node) -> list[str]:
    """Where a model has its data, relative to its folder. Raises for what is not there, or not in the folder."""
    found: set[str] = set()
    for location in sorted({tensor.location for tensor in external_locations(str(path))}):
        relative = PurePosixPath(location)
        if relative.is_absolute() or ".." in relative.parts:
            raise PermanentError(
                ErrorCode.EXTERNAL_DATA_OUTSIDE,
                f"The model of {node.model_id!r} ({path}) has its data at {location!r}, outside of its folder.",
                fix="Save the model with its external data beside it.",
            )
        if not (path.parent / relative).is_file():
            raise PermanentError(
                ErrorCode.EXTERNAL_DATA_MISSING,
                f"The model of {node.model_id!r} ({path}) has data at {location!r}, and no such file is there.",
                fix="Stage before the engine cleans its cache, or save the model again.",
            )
        found.add(str(relative))
    return sorted(found)


def _copy_all(units: dict[Path, Unit], target: Path, progress: Progress | None) -> dict[Path, Path]:
    total = sum(unit.size for unit in units.values())
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if progress:
            progress(done, total)

    copier = FileCopier(advance)
    places: dict[Path, Path] = {}
    for folder, unit in units.items():
        place = target / unit.key
        with writing_to(target):
            if place.is_dir():
                advance(unit.size)
            else:
                _copy_unit(unit, place, copier)
        places[folder] = place
    return places


def _copy_unit(unit: Unit, place: Path, copier: FileCopier) -> None:
    unfinished = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
    try:
        unfinished.mkdir(parents=True)
        for relative, source in unit.files.items():
            destination = unfinished / relative
            destination.parent.mkdir(parents=True, exist_ok=True)
            # The onnx library refuses to read external data that has a second hard link, here or in the cache.
            copier.copy(source, destination, may_link=relative not in unit.data)
        sync_folder(unfinished)
        try:
            unfinished.rename(place)
        except OSError:
            # Somebody else was faster, with the same files; anything else is an error.
            if not place.is_dir():
                raise
        copier.moved(unfinished, place)
        sync_folder(place.parent)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
