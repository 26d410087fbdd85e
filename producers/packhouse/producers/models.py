"""The models of a run on the machine of its engine: which files each is made of."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final, Self

from pydantic import JsonValue

from packhouse.schemas.base import is_url
from packhouse.schemas.epcontext import ep_contexts
from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.events import FinishedRun
from packhouse.schemas.footprint import Node
from packhouse.schemas.genai import GENAI_CONFIG, LARGEST, file_names, parse
from packhouse.schemas.modelpaths import (
    CONSTANT_INPUTS,
    EXTERNAL_INITIALIZERS,
    SCRIPT_DIR,
    Component,
    ConfigPath,
    KeyPath,
    PathRole,
    given_tensors,
    models_in,
    own_paths,
    replaced,
)
from packhouse.schemas.onnx import external_locations
from packhouse.schemas.paths import inside
from packhouse.schemas.selection import candidates

_KEY_LENGTH: Final = 16
_ONNX: Final = ".onnx"
_OPENVINO: Final = ".xml"


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
    """The models of a run's candidates on this machine, and what their configs name beside them."""

    run: FinishedRun
    units: dict[Path, Unit] = field(default_factory=dict[Path, Unit])
    """By the folder that each lies in now."""
    names: dict[str, tuple[Path, str]] = field(default_factory=dict[str, tuple[Path, str]])
    """Of each path as the run has it: the folder of its unit, and its name in there (empty: the folder)."""
    _whole: set[Path] = field(default_factory=set[Path])
    """The folders that are staged with all that is in them."""

    @classmethod
    def of(cls, run: FinishedRun) -> Self:
        """Find every file. Raises ``PermanentError`` as ``stage`` does."""
        models = cls(run)
        nodes = [node for footprint in run.footprints for node in candidates(footprint)]
        named = [each for node in nodes for each in _named(node)]
        # Folders first, the outer before the inner: what lies in one is staged with it.
        for each in sorted(named, key=lambda each: (not each.path.is_dir(), len(each.path.parts))):
            models._add(each)
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

    def _add(self, named: _Named) -> None:
        path, text = named.path, named.place.path
        if path.is_dir():
            if named.is_scripts:
                self.names[text] = (path, "")
                self.units.setdefault(path, Unit()).files.update(_files(path, "*.py"))
                return
            folder = next((each for each in self._whole if path.is_relative_to(each)), path)
            self.names[text] = (folder, "" if folder == path else path.relative_to(folder).as_posix())
            if folder == path and path not in self._whole:
                self._whole.add(path)
                _survey_folder(path, named, self.units.setdefault(path, Unit()))
            return
        if not path.is_file():
            raise named.missing()
        # Models that lie in one folder may share their data: together they take it along once.
        holding = (each for each, unit in self.units.items() if path.is_relative_to(each) and _holds(unit, each, path))
        folder = next(holding, path.parent)
        self.names[text] = (folder, _name(path, folder))
        unit = self.units.setdefault(folder, Unit())
        unit.files[_name(path, folder)] = path
        _survey_file(folder, path, named, unit)


@dataclass(frozen=True)
class _Named:
    """A place on disk that a model's config names."""

    node: Node
    model: Component
    place: ConfigPath
    given: Container[str]
    """Tensors that need no file."""

    @property
    def path(self) -> Path:
        return Path(self.place.path)

    @property
    def is_scripts(self) -> bool:
        return self.place.at[-1] == SCRIPT_DIR

    def missing(self) -> PermanentError:
        return PermanentError(
            ErrorCode.MODEL_MISSING,
            f"The model of {self.node.model_id!r} is not at {self.path}."
            if self.place.role is PathRole.MODEL
            else f"The model of {self.node.model_id!r} names {self.path} ({self.place.at[0]}), and nothing is there.",
            fix="Stage before the engine cleans its cache, on a machine that sees the engine's files.",
        )


class _AnyOf:
    def __init__(self, containers: list[Container[str]]) -> None:
        self._containers = containers

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and any(name in each for each in self._containers)


def _named(node: Node) -> Iterator[_Named]:
    if node.model is None:
        return
    try:
        models = list(models_in(node.model.type, node.model.config))
    except ValueError as error:
        raise PermanentError(
            ErrorCode.MODEL_TYPE_UNSUPPORTED,
            f"The model of {node.model_id!r} is described in a way that makes no sense: {error}.",
            fix="Give every component a type and a config.",
        ) from error
    given = _AnyOf([given_tensors(model.config) for model in models])
    for model in models:
        for each in own_paths(model.config):
            if Path(each.path).is_absolute() and not is_url(each.path):
                yield _Named(node, model, each, given)


def _moved(node: Node, staged: Mapping[str, str]) -> Node:
    if node.model is None:
        return node
    values: dict[KeyPath, JsonValue] = {}
    try:
        for model in models_in(node.model.type, node.model.config):
            for each in own_paths(model.config):
                if each.path in staged:
                    values[*model.at, *each.at] = staged[each.path]
    except ValueError:
        return node  # No candidate, or it would have been refused.
    config = replaced(node.model.config, values)
    return node.model_copy(update={"model": node.model.model_copy(update={"config": config})})


def _files(folder: Path, pattern: str = "*") -> dict[str, Path]:
    return {file.relative_to(folder).as_posix(): file for file in folder.rglob(pattern) if file.is_file()}


def _holds(unit: Unit, folder: Path, path: Path) -> bool:
    return unit.files.get(_name(path, folder)) == path


def _survey_folder(folder: Path, named: _Named, unit: Unit) -> None:
    """Adds all files of a folder."""
    found = _files(folder)
    unit.files.update(found)
    for relative in [name for name in found if name.endswith(_ONNX)]:
        inner = PurePosixPath(relative).parent
        data, _ = _referred(folder / relative, named)
        unit.data.update(str(inner / name) for name in data)


def _survey_file(folder: Path, path: Path, named: _Named, unit: Unit) -> None:
    """Adds what a file refers to."""
    if named.place.role is PathRole.ADDITIONAL and path.name == GENAI_CONFIG:
        for other in _generative(path):
            _add_onnx(path.parent / other, folder, named, unit)
    if named.place.role is not PathRole.MODEL:
        return
    if path.suffix.lower() == _OPENVINO and named.model.type.lower() == "openvinomodel":
        weights = path.with_suffix(".bin")
        unit.files[_name(weights, folder)] = _there(weights, path, named.node)
    if path.suffix != _ONNX:
        return
    beside = path.parent / GENAI_CONFIG
    if folder == path.parent and beside.is_file() and path.name in _generative(beside):
        _survey_folder(folder, named, unit)
    _add_onnx(path, folder, named, unit)
    for key in (EXTERNAL_INITIALIZERS, CONSTANT_INPUTS):
        name = named.model.config.get(key)
        if isinstance(name, str) and name:
            other = path.parent / _inside(name, path, named.node)
            unit.files[_name(other, folder)] = _there(other, path, named.node)


def _add_onnx(path: Path, folder: Path, named: _Named, unit: Unit) -> None:
    if not path.is_file():
        return
    data, others = _referred(path, named)
    unit.files[_name(path, folder)] = path
    unit.files.update({_name(path.parent / each, folder): path.parent / each for each in (*data, *others)})
    unit.data.update(_name(path.parent / each, folder) for each in data)


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _generative(path: Path) -> list[str]:
    """The files that a ``genai_config.json`` names, as far as they lie in its folder."""
    try:
        names = file_names(parse(path.read_bytes())) if path.stat().st_size <= LARGEST else []
    except ValueError:
        return []  # Whoever packages it says what is wrong with it.
    return [relative for name in names if (relative := inside(name)) is not None]


def _referred(path: Path, named: _Named) -> tuple[list[str], list[str]]:
    """Where a model has its tensors, and what its EPContext nodes name, relative to its folder.

    Raises for what is not there, or not in the folder.
    """
    data: set[str] = set()
    for tensor in external_locations(str(path)):
        relative = _inside(tensor.location, path, named.node)
        if tensor.name not in named.given or (path.parent / relative).is_file():
            data.add(relative)
    others: set[str] = set()
    for context in ep_contexts(str(path)):
        if context.location is not None:
            others.add(relative := _inside(context.location, path, named.node))
            if relative.lower().endswith(_OPENVINO):
                others.add(relative[: -len(_OPENVINO)] + ".bin")
    for relative in sorted(data | others):
        _there(path.parent / relative, path, named.node)
    return sorted(data), sorted(others - data)


def _inside(location: str, path: Path, node: Node) -> str:
    relative = inside(location)
    if relative is None:
        raise PermanentError(
            ErrorCode.EXTERNAL_DATA_OUTSIDE,
            f"The model of {node.model_id!r} ({path}) has its data at {location!r}, outside of its folder.",
            fix="Save the model with its external data beside it.",
        )
    return relative


def _there(path: Path, model: Path, node: Node) -> Path:
    if not path.is_file():
        raise PermanentError(
            ErrorCode.EXTERNAL_DATA_MISSING,
            f"The model of {node.model_id!r} ({model}) has data at {path.name!r}, and no such file is there.",
            fix="Stage before the engine cleans its cache, or save the model again.",
        )
    return path
