"""Which directories are the engine's own: those that an event declares, and those that can be known from it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from packhouse.schemas.base import is_absolute, is_url
from packhouse.schemas.events import FinishedRun
from packhouse.schemas.paths import PathMap, components, is_windows

_SEPARATOR = re.compile(r"[\\/]")
_HOLDS_FILE = re.compile(r"(?:\w+_)?(?:path|script)")
_HOLDS_FOLDER = re.compile(r"\w+_dir")
_ANCESTOR: Final = 2
"""An ancestor of fewer components (``/srv``, ``/home``) is not the engine's own."""


def engine_directories(event: FinishedRun, mapping: PathMap) -> tuple[str, ...]:
    """The directories to keep out of a package, in the engine's and in the worker's view, sorted.

    Those that the event declares, its ``output_dir``, and of the directories of models, scripts and data that its nodes
    name, the outermost: where several lie side by side, the one that they share.
    """
    other = mapping if event.paths == "engine" else mapping.reversed()
    known = list(dict.fromkeys([event.output_dir, *_named(event)]))
    views = [known, [other(path) for path in known]]
    declared = {*event.engine.directories, event.output_dir}
    declared |= {other(path) for path in declared}
    found = {directory for view in views for directory in _outermost(view)}
    return tuple(sorted(each for each in declared | found if components(each)))


def _named(event: FinishedRun) -> Iterator[str]:
    for footprint in event.footprints:
        for node in footprint.nodes:
            if node.model is not None:
                yield from _paths(node.model.config)
            yield from _paths(node.pass_run_config)


def _paths(value: Any) -> Iterator[str]:
    """The folder of every absolute path that stands under a key made for paths, such as ``user_script``."""
    if isinstance(value, list):
        for item in value:
            yield from _paths(item)
    if not isinstance(value, dict):
        return
    for key, item in value.items():
        if not isinstance(item, str):
            yield from _paths(item)
        elif is_absolute(item) and _HOLDS_FOLDER.fullmatch(key):
            yield item
        elif is_absolute(item) and _HOLDS_FILE.fullmatch(key):
            yield _parent(item)


def _outermost(directories: Iterable[str]) -> Iterator[str]:
    """What the directories that share their first two components have in common, and those that are shorter."""
    groups: dict[tuple[str, ...], dict[tuple[str, ...], str]] = defaultdict(dict)
    for directory in directories:
        parts = components(directory)
        groups[parts[:_ANCESTOR]].setdefault(parts, directory)
    for key, group in groups.items():
        if len(key) < _ANCESTOR or is_url(next(iter(group.values()))):
            yield from group.values()
        else:
            yield _shared(group)


def _shared(group: Mapping[tuple[str, ...], str]) -> str:
    """The deepest directory that all of a group lie in or are: what the first and the last in order share, all do."""
    first, last = min(group), max(group)
    depth = next((at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    directory = group[first]
    for _ in range(len(first) - depth):
        directory = _parent(directory)
    return directory


def _parent(path: str) -> str:
    if not is_windows(path):
        return path.rstrip("/").rpartition("/")[0] or "/"
    cut = max((match.start() for match in _SEPARATOR.finditer(path.rstrip("\\/"))), default=0)
    return path[:cut]
