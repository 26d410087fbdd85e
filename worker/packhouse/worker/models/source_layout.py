"""A model's files being laid out in the candidate's folder, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.files import CONFIGURATIONS, INFERENCE_CONFIG, METRICS, MODEL_INFO
from packhouse.schemas.modelpaths import KeyPath
from packhouse.worker.models.onnx import OnnxModel
from packhouse.worker.models.parts import MadeFile, ModelSource, OnnxMain, SourceFile, SourceKind
from packhouse.worker.storage.failures import said
from packhouse.worker.storage.location import Location
from packhouse.worker.storage.storage import Storage

_OURS: Final = (CONFIGURATIONS, INFERENCE_CONFIG, METRICS, MODEL_INFO)
_LEFT_BEHIND: Final = "__pycache__"


@dataclass
class Layout:
    """What is found so far. Every method that reads raises as ``Storage.open_file`` does."""

    locate: Callable[[str], Location]
    """Says where the worker has a path of the engine."""
    storage: Storage
    files: dict[str, SourceFile] = field(default_factory=dict[str, SourceFile])
    """By where they are to lie."""
    made: dict[str, MadeFile] = field(default_factory=dict[str, MadeFile])
    places: dict[KeyPath, str] = field(default_factory=dict[KeyPath, str])
    names: dict[KeyPath, str] = field(default_factory=dict[KeyPath, str])
    onnx: list[OnnxMain] = field(default_factory=list[OnnxMain])
    generative: bool = False
    _taken: dict[str, str] = field(default_factory=dict[str, str])
    _by_path: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def __post_init__(self) -> None:
        self._taken.update({name: f"{name}, which Packhouse writes" for name in _OURS})

    def put(self, file: SourceFile) -> None:
        """A file has its place. Raises ``PermanentError`` (``layout_conflict``) where another one is there."""
        before = self.files.get(file.relative)
        if before is not None and before.location.path == file.location.path:
            return
        key = file.relative.casefold()
        if key in self._taken:
            raise PermanentError(
                ErrorCode.LAYOUT_CONFLICT,
                f"{said(file.location.shown)} would lie in the package in one place with {said(self._taken[key])}.",
                fix="Give the files of the model names of their own, letter case aside.",
            )
        self._taken[key] = file.location.shown
        self._by_path.setdefault(file.location.path, []).append(file.relative)
        self.files[file.relative] = file

    def open(self, relative: str, location: Location) -> None:
        """Look at a file, and give it its place."""
        if self.has(relative, location):
            return
        with self.storage.open_file(location) as file:
            self.put(SourceFile(relative, location, file.size, file.mark))

    def has(self, relative: str, location: Location) -> bool:
        """Whether this very file has this place already."""
        return relative in self._by_path.get(location.path, ())

    def put_onnx(self, prefix: str, name: str, model: OnnxModel) -> None:
        """An ONNX model under a name in a folder, with all that it refers to; one that refers to itself has both."""
        self.put(SourceFile(prefix + name, model.model, model.size, model.mark))
        for file in model.external:
            self.put(SourceFile(prefix + file.relative, file.location, file.size, file.mark))

    def walk(self, folder: Location) -> dict[str, Location]:
        """Every file below a folder but what Python compiled there, by its path in it. Never empty."""
        found = {
            relative: place
            for relative, place in self.storage.walk(folder)
            if _LEFT_BEHIND not in relative.split("/")
        }  # fmt: skip
        if not found:
            raise PermanentError(
                ErrorCode.MODEL_MISSING,
                f"{said(folder.shown)} is an empty folder.",
                fix="Check the path, and that the engine has not cleaned up since: its files must stay until packaged.",
            )
        return found

    def place_of(self, location: Location, prefix: str = "") -> str | None:
        """Where a file of the engine lies now: of several places the first below this prefix, or else the first."""
        places = self._by_path.get(location.path, [])
        return next((place for place in places if place.startswith(prefix)), places[0] if places else None)

    def free(self, wanted: str) -> str:
        """This name or, where something has it, the next with a number behind it."""
        count, name = 1, wanted
        while any(each == name.casefold() or each.startswith(name.casefold() + "/") for each in self._taken):
            count += 1
            name = f"{wanted}_{count}"
        return name

    def replace(self, relative: str, data: bytes) -> None:
        """A file is written anew instead of being taken along. It is still found by where it came from."""
        del self.files[relative]
        self.made[relative] = MadeFile(relative, data)

    def source(self, kind: SourceKind, main: str) -> ModelSource:
        """All of it."""
        return ModelSource(
            kind,
            tuple(sorted(self.files.values(), key=lambda file: file.relative.encode())),
            main,
            tuple(self.places.items()),
            tuple(self.names.items()),
            tuple(self.onnx),
            tuple(sorted(self.made.values(), key=lambda file: file.relative.encode())),
            self.generative,
        )
