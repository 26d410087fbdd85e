"""A finished run of Olive, read from the files that it left in its output_dir."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from packhouse.producers.olive.accelerator import derive
from packhouse.producers.olive.files import FootprintFiles, find_footprints, read_json
from packhouse.producers.olive.nodes import RawFootprint, output_invalid, read_nodes
from packhouse.producers.olive.run import absolute, build_run
from packhouse.producers.olive.saved import saved_models
from packhouse.schemas.accelerator import Accelerator
from packhouse.schemas.base import uncollected
from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.events import FinishedRun, Package
from packhouse.schemas.footprint import Node
from packhouse.schemas.packaging import PackagingConfig
from packhouse.schemas.paths import PathMap


def read_output_dir(  # noqa: PLR0913 - each is a fact that the files may not hold
    path: str | os.PathLike[str],
    *,
    packaging_config: list[PackagingConfig] | None = None,
    accelerator: Accelerator | str | None = None,
    output_name: str | None = None,
    mapping: PathMap | None = None,
    top: int | None = None,
    runtime_packages: Iterable[Package] = (),
    engine_directories: Iterable[str] = (),
    engine_version: str | None = None,
) -> FinishedRun:
    """The run that left these files; those of Olive 0.6 to 0.13 are understood.

    ``accelerator`` is needed where the files do not tell it, ``output_name`` where several runs wrote into one folder.
    With a ``mapping`` the paths of the result are the worker's view, else the engine's. Every other argument is
    passed on to the event.

    Raises ``PermanentError``: ``output_not_found``, ``output_invalid`` (file and field named), ``accelerator_unknown``.
    """
    output_dir = absolute(path)
    with uncollected():
        return build_run(
            read_footprints(output_dir, accelerator=accelerator, output_name=output_name),
            output_dir=str(output_dir),
            packaging_config=packaging_config,
            mapping=mapping,
            top=top,
            runtime_packages=runtime_packages,
            engine_directories=engine_directories,
            engine_version=engine_version,
        )


def read_footprints(
    output_dir: Path, *, accelerator: Accelerator | str | None = None, output_name: str | None = None
) -> dict[Accelerator, list[Node]]:
    """The nodes of every accelerator, in the order in which Olive went through the accelerators."""
    given = _given(accelerator)
    groups: dict[str, tuple[Accelerator, dict[str, Node], str]] = {}
    for files in _named(find_footprints(output_dir), output_name, output_dir):
        nodes, where = _nodes(files), str(files.full)
        found = files.accelerator or given or derive(nodes, where)
        if given is not None and given != found:
            raise PermanentError(
                ErrorCode.ACCELERATOR_UNKNOWN,
                f"{where} is of accelerator {found}, not {given}.",
                fix="Leave the accelerator out: these files say it themselves.",
            )
        _, known, first = groups.setdefault(str(found), (found, {}, where))
        _join(known, nodes, where, first)
    # Nobody wrote down the order of the accelerators, but nodes say when they ended.
    ordered = sorted(groups.values(), key=lambda group: (_ended(group[1].values()), str(group[0])))
    return {found: list(known.values()) for found, known, _ in ordered}


def _given(accelerator: Accelerator | str | None) -> Accelerator | None:
    if not isinstance(accelerator, str):
        return accelerator
    try:
        return Accelerator.parse(accelerator)
    except ValueError:
        raise PermanentError(
            ErrorCode.ACCELERATOR_UNKNOWN,
            f"{accelerator!r} is no accelerator that is known.",
            fix="Write DEVICE-EP, as in cpu-cpu, cpu-openvino or gpu-cuda.",
        ) from None


def _named(found: list[FootprintFiles], output_name: str | None, output_dir: Path) -> list[FootprintFiles]:
    if output_name is None:
        return found
    fitting = [files for files in found if files.output_name == output_name]
    if not fitting:
        names = ", ".join(sorted({files.output_name or "(none)" for files in found}))
        raise PermanentError(
            ErrorCode.OUTPUT_NOT_FOUND,
            f"{output_dir} holds nothing with the output name {output_name!r}.",
            fix=f"Give one of the output names that are there: {names}.",
        )
    return fitting


def _nodes(files: FootprintFiles) -> list[Node]:
    # find_footprints gives only those that have this file.
    raw = dict(read_json(files.full or files.folder))
    outputs: set[str] | None = None
    for path in files.selections:
        selected = read_json(path)
        if _is_everything(selected):
            continue
        outputs = (outputs or set()) | set(selected)
        # The frontier is a copy of nodes that are in the other file as well; that one has the order.
        raw.update({model_id: node for model_id, node in selected.items() if model_id not in raw})
    if outputs is None and not _is_marked(raw):
        outputs = saved_models(files, raw)
    return read_nodes(raw, str(files.full), outputs)


def _is_everything(selected: RawFootprint) -> bool:
    """Whether a file of outputs holds all nodes, as Olive 0.13 writes it: the input model is never an output."""
    return any(
        isinstance(node, Mapping) and node.get("parent_model_id") is None and node.get("from_pass") is None
        for node in selected.values()
    )


def _is_marked(raw: RawFootprint) -> bool:
    return any(isinstance(node, Mapping) and node.get("is_pareto_frontier") for node in raw.values())


def _join(known: dict[str, Node], nodes: list[Node], where: str, first: str) -> None:
    """Adds the nodes of a second output name to those of the first: runs of one cache share models."""
    for node in nodes:
        before = known.get(node.model_id)
        if before is None:
            known[node.model_id] = node
        elif (before.parent_model_id, before.model) != (node.parent_model_id, node.model) or (
            before.metrics and node.metrics and before.metrics != node.metrics
        ):
            raise output_invalid(
                where,
                [(node.model_id, f"is another model, or measured otherwise, in {first}: name one with --output-name")],
            )
        else:
            merged = {"is_output": before.is_output or node.is_output, "metrics": before.metrics or node.metrics}
            known[node.model_id] = before.model_copy(update=merged)


def _ended(nodes: Iterable[Node]) -> float:
    return max((node.end_time or 0.0 for node in nodes), default=0.0)
