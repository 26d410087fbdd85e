"""A finished run of Olive, taken from the objects that Olive's ``run`` returned. Olive itself is not imported.

Source of the shapes: ``olive/engine/output.py`` (0.9.2 and later), ``olive/engine/footprint.py`` and
``olive/hardware/accelerator.py``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypedDict, Unpack

from packhouse.producers.olive.accelerator import derive
from packhouse.producers.olive.nodes import output_invalid, read_nodes
from packhouse.producers.olive.output import read_footprints
from packhouse.producers.olive.run import absolute, build_run
from packhouse.schemas.accelerator import Accelerator
from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.events import FinishedRun, Package
from packhouse.schemas.footprint import Node
from packhouse.schemas.packaging import PackagingConfig
from packhouse.schemas.paths import PathMap


class OliveAccelerator(Protocol):
    """Olive's ``AcceleratorSpec``."""

    @property
    def accelerator_type(self) -> Any:
        """The device."""
        ...

    @property
    def execution_provider(self) -> Any:
        """The execution provider, or None."""
        ...


class OliveFootprint(Protocol):
    """Olive's ``Footprint``."""

    def to_json(self) -> str:
        """The nodes, as they stand in a footprint file."""
        ...


class RunOptions(TypedDict, total=False):
    """What both functions pass on to the event."""

    packaging_config: list[PackagingConfig] | None
    mapping: PathMap | None
    top: int | None
    runtime_packages: Iterable[Package]
    engine_directories: Iterable[str]
    engine_version: str | None


def from_workflow_output(
    workflow_output: Any, *, output_dir: str | os.PathLike[str], **options: Unpack[RunOptions]
) -> FinishedRun:
    """The run of a ``WorkflowOutput``, what ``olive.run`` returns from Olive 0.9.2 on.

    Up to 0.9.3 the object does not hold the whole lineage: that is then read from the files in ``output_dir``.
    Raises ``PermanentError``: ``accelerator_unknown``, ``output_invalid``, ``output_not_found``.
    """
    folder = absolute(output_dir)
    footprint = getattr(workflow_output, "footprint", None)
    if footprint is None:
        return build_run(_of_devices(workflow_output, folder), output_dir=str(folder), **options)
    raw = _raw(footprint)
    for model in workflow_output.output_models:
        # Olive points this one, and not the node, to the copy that it saved in output_dir.
        if model.olive_model_config and model.model_id in raw:
            raw[model.model_id] = {**raw[model.model_id], "model_config_data": model.olive_model_config}
    nodes = read_nodes(raw, "the footprint of the WorkflowOutput", set(footprint.output_model_ids or ()))
    accelerator = _accelerator(workflow_output.accelerator_spec, nodes)
    result: dict[Accelerator, list[Node]] = dict.fromkeys([accelerator], nodes)
    return build_run(result, output_dir=str(folder), **options)


def from_footprints(
    footprints: Mapping[Any, OliveFootprint], *, output_dir: str | os.PathLike[str], **options: Unpack[RunOptions]
) -> FinishedRun:
    """The run of a dict from ``AcceleratorSpec`` to ``Footprint``, what ``olive.run`` returns before Olive 0.9.2.

    Those footprints hold the models that the run put out, without what lies between them and the input model: that
    is read from the files in ``output_dir``. A whole footprint, as in the engine's ``footprints``, needs no files.
    Raises ``PermanentError``: ``accelerator_unknown``, ``output_invalid``, ``output_not_found``.
    """
    folder = absolute(output_dir)
    result: dict[Accelerator, list[Node]] = {}
    for spec, footprint in footprints.items():
        where = f"the footprint of {spec}"
        raw = _raw(footprint)
        whole = all(node.get("parent_model_id") in {None, *raw} for node in raw.values())
        nodes = read_nodes(raw, where, None if whole else set(raw))
        accelerator = _accelerator(spec, nodes)
        result[accelerator] = nodes if whole else _completed(nodes, accelerator, folder)
    return build_run(result, output_dir=str(folder), **options)


def _raw(footprint: OliveFootprint) -> dict[str, Any]:
    raw: Any = json.loads(footprint.to_json())
    if not isinstance(raw, dict):
        raise output_invalid("the footprint", [("", "must be an object of model ids and nodes")])
    return raw


def _accelerator(spec: OliveAccelerator, nodes: list[Node]) -> Accelerator:
    if not spec.execution_provider:
        return derive(nodes, f"the footprint of {spec}")
    # Both are text, or members of enumerations whose text is the value.
    device, provider = str(spec.accelerator_type), str(spec.execution_provider)
    try:
        return Accelerator(device=device, execution_provider=provider)
    except ValueError as error:
        raise PermanentError(
            ErrorCode.ACCELERATOR_UNKNOWN,
            f"The run was for the accelerator {spec}, which is not known.",
            fix="Publish from the output_dir, and say the accelerator.",
        ) from error


def _completed(outputs: list[Node], accelerator: Accelerator, output_dir: Path) -> list[Node]:
    """The nodes of the files, with those that the run put out in their places."""
    found = {str(key): nodes for key, nodes in read_footprints(output_dir).items()}.get(str(accelerator), [])
    by_id = {node.model_id: node.model_copy(update={"is_output": False}) for node in found}
    if not found:
        raise PermanentError(
            ErrorCode.OUTPUT_NOT_FOUND,
            f"{output_dir} holds no footprints of {accelerator}, and the run's own have no lineage.",
            fix="Give the output_dir of this very run, or the engine's footprints in place of what run returned.",
        )
    by_id.update({node.model_id: node for node in outputs})
    return list(by_id.values())


def _of_devices(workflow_output: Any, output_dir: Path) -> dict[Accelerator, list[Node]]:
    """Olive 0.9.2 and 0.9.3: output models by device and execution provider."""
    result: dict[Accelerator, list[Node]] = {}
    ids: dict[str, set[str]] = {}
    for model in workflow_output.get_output_models():
        accelerator = Accelerator(device=model.from_device(), execution_provider=model.from_execution_provider())
        ids.setdefault(str(accelerator), set()).add(model.model_id)
        result.setdefault(accelerator, [])
    only = next(iter(result)) if len(result) == 1 else None
    found = {str(key): nodes for key, nodes in read_footprints(output_dir, accelerator=only).items()}
    for accelerator, nodes in result.items():
        marked = ids[str(accelerator)]
        for node in found.get(str(accelerator), []):
            nodes.append(node.model_copy(update={"is_output": node.model_id in marked}))
        if not marked <= {node.model_id for node in nodes}:
            raise PermanentError(
                ErrorCode.OUTPUT_NOT_FOUND,
                f"{output_dir} does not hold the footprints of this run's {accelerator}.",
                fix="Give the output_dir of this very run.",
            )
    return result
