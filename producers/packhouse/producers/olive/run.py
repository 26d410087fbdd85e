"""From the nodes of a run to the event that tells of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import JsonValue, ValidationError

from packhouse.producers.olive.directories import engine_directories as directories_of
from packhouse.schemas.accelerator import Accelerator
from packhouse.schemas.base import is_absolute
from packhouse.schemas.errors import ErrorCode, PermanentError, explain
from packhouse.schemas.events import FinishedRun, Package
from packhouse.schemas.footprint import Node
from packhouse.schemas.packaging import PackagingConfig
from packhouse.schemas.paths import PathMap

ENGINE: Final = "olive"


def build_run(
    footprints: Mapping[Accelerator, list[Node]],
    *,
    output_dir: str,
    packaging_config: list[PackagingConfig] | None = None,
    mapping: PathMap | None = None,
    top: int | None = None,
    runtime_packages: Iterable[Package] = (),
    engine_directories: Iterable[str] = (),
    engine_version: str | None = None,
) -> FinishedRun:
    """A run's data, its paths mapped. Raises ``PermanentError`` (``output_invalid``) where the nodes contradict."""
    data: dict[str, Any] = {
        "engine": {"name": ENGINE, "version": engine_version, "runtime_packages": list(runtime_packages)},
        "output_dir": output_dir,
        "packaging_config": packaging_config or [],
        "footprints": [{"accelerator": accelerator, "nodes": nodes} for accelerator, nodes in footprints.items()],
        "top": top,
    }
    try:
        run = FinishedRun.model_validate(data)
    except ValidationError as error:
        field, sentence = explain(error)[0]
        raise PermanentError(
            ErrorCode.OUTPUT_INVALID,
            f"{output_dir} does not hold a whole run: {field}: {sentence}",
            fix="Give an output_dir as Olive left it; where several runs share it, name one with --output-name.",
            field=field,
        ) from None
    return mapped(with_directories(run, engine_directories), mapping or PathMap())


def with_directories(run: FinishedRun, more: Iterable[str]) -> FinishedRun:
    """The run with the engine's own directories: those it has, those given, and those that can be known from it."""
    found = directories_of(run, more)
    return run.model_copy(update={"engine": run.engine.model_copy(update={"directories": found})})


def mapped(run: FinishedRun, mapping: PathMap) -> FinishedRun:
    """The run in the worker's view, every path of it mapped; without rules, the run as it is."""
    if not mapping.rules:
        return run
    footprints = [
        footprint.model_copy(update={"nodes": [_mapped_node(node, mapping) for node in footprint.nodes]})
        for footprint in run.footprints
    ]
    moved = run.model_copy(update={"paths": "worker", "output_dir": mapping(run.output_dir), "footprints": footprints})
    both = [side for rule in mapping.rules for side in (rule.origin, rule.target)]
    return with_directories(moved, both)


def _mapped_node(node: Node, mapping: PathMap) -> Node:
    if node.model is None:
        return node
    config = {name: _mapped_value(value, mapping) for name, value in node.model.config.items()}
    return node.model_copy(update={"model": node.model.model_copy(update={"config": config})})


def _mapped_value(value: JsonValue, mapping: PathMap) -> JsonValue:
    if isinstance(value, str):
        return mapping(value) if is_absolute(value) else value
    if isinstance(value, list):
        return [_mapped_value(item, mapping) for item in value]
    if isinstance(value, dict):
        return {name: _mapped_value(item, mapping) for name, item in value.items()}
    return value


def absolute(path: str | os.PathLike[str]) -> Path:
    """A path of this machine, absolute. Links stay: they may be how the worker knows the folder too."""
    return Path(os.path.normpath(Path(path).absolute()))
