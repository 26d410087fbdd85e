"""The directories of the engine's machine, so that they can be kept out of what is packaged."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

from pydantic import JsonValue, TypeAdapter, ValidationError

from packhouse.schemas.base import Directory, is_absolute, is_url
from packhouse.schemas.events import FinishedRun
from packhouse.schemas.paths import PathRule, components, is_windows

_FILE_KEY = re.compile(r"(?:\w+_)?(?:path|file|script)")
_FOLDER_KEY = re.compile(r"(?:\w+_)?(?:dir|folder)")
_EITHER_KEY = re.compile(r"data_config")
_TAIL = re.compile(r"[\\/]+[^\\/]*[\\/]*$")
_DIRECTORY: Final = TypeAdapter[str](Directory)

_OWN: Final = 2
"""A directory of fewer components (``/srv``, ``/home``) is shared by many, and not taken for the engine's own."""


def engine_directories(run: FinishedRun, given: Iterable[str] = ()) -> list[str]:
    """The directories of the engine's machine that are declared, given, or named by the run: the outermost, sorted.

    Named are ``output_dir``, the folders of models, and in the configurations of models and passes what stands under
    keys made for paths (``user_script``, ``data_dir``, …). Any other absolute text counts only if it exists on this
    machine: ``/MatMul`` is a node of a graph. With them come the directories that several of them lie in.
    """
    found = {run.output_dir, *run.engine.directories, *given}
    for footprint in run.footprints:
        for node in footprint.nodes:
            for config in (node.model.config if node.model else None, node.pass_run_config):
                if config:
                    found.update(_in_config(config))
    known = {directory for directory in found if _is_directory(directory)}
    return _outermost(known | set(_shared(known)))


def _outermost(directories: set[str]) -> list[str]:
    """Those that lie in no other."""
    kept: list[str] = []
    for directory in sorted(directories, key=lambda each: (components(each), each)):
        if not any(PathRule(outer, outer).applies_to(directory) for outer in kept[-1:]):
            kept.append(directory)
    return sorted(kept)


def parent(path: str) -> str:
    """The folder that an absolute path lies in, spelled as the path is; empty or ``/`` above a root."""
    if is_windows(path):
        return _TAIL.sub("", path)
    return path.rstrip("/").rpartition("/")[0] or "/"


def _is_directory(path: str) -> bool:
    try:
        _DIRECTORY.validate_python(path)
    except ValidationError:
        return False
    return not is_url(path)


def _in_config(config: dict[str, JsonValue]) -> Iterator[str]:
    for key, value in config.items():
        yield from _in_value(key, value)


def _in_value(key: str, value: JsonValue) -> Iterator[str]:
    if isinstance(value, dict):
        yield from _in_config(value)
    elif isinstance(value, list):
        for item in value:
            yield from _in_value(key, item)
    elif isinstance(value, str) and is_absolute(value) and "\0" not in value and not is_url(value):
        yield from _of_path(key, value)


def _of_path(key: str, path: str) -> Iterator[str]:
    if Path(path).is_dir():
        if _FOLDER_KEY.fullmatch(key) or len(components(path)) >= _OWN:
            yield path
        if _FILE_KEY.fullmatch(key):
            yield parent(path)
    elif _FOLDER_KEY.fullmatch(key):
        yield path
    elif _FILE_KEY.fullmatch(key) or _EITHER_KEY.fullmatch(key) or _exists(path):
        yield parent(path)


def _exists(path: str) -> bool:
    return len(components(path)) >= _OWN and Path(path).exists()


def _shared(directories: set[str]) -> Iterator[str]:
    """For every two directories that have it, the deepest one that both lie in."""
    known = sorted(directories, key=components)
    # Sorted by components, the deepest ancestor that a directory shares with any other it shares with a neighbour.
    for one, other in pairwise(known):
        if is_windows(one) != is_windows(other):
            continue
        ours, theirs = components(one), components(other)
        pairs = enumerate(zip(ours, theirs, strict=False))
        depth = next((at for at, (a, b) in pairs if a != b), min(len(ours), len(theirs)))
        if depth >= _OWN:
            shortened = one
            while len(components(shortened)) > depth:
                shortened = parent(shortened)
            yield shortened
