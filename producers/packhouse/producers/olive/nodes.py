"""Nodes of Olive's footprints as the contract has them.

Source of the format: ``FootprintNode`` in Olive's ``olive/engine/footprint.py``, versions 0.6 to 0.13.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from packhouse.schemas.errors import ErrorCode, PermanentError, explain, invalid
from packhouse.schemas.footprint import Node

PRUNED: Final = {"type": "pruned", "config": {"is_pruned": True}}
"""What stands for the model of a node that Olive pruned: it writes ``{"is_pruned": true}`` and no type."""

RawFootprint = Mapping[str, Any]
"""Model id to node, as Olive writes it."""


def read_nodes(raw: RawFootprint, where: str, outputs: set[str] | None = None) -> list[Node]:
    """The nodes in Olive's order.

    ``outputs`` are the ids of the models that Olive put out, None where only the nodes themselves say so
    (``is_pareto_frontier``). ``where`` names the file, or the object, in errors.
    Raises ``PermanentError`` (``output_invalid``), the field named.
    """
    nodes: list[Node] = []
    for model_id, value in raw.items():
        if not isinstance(value, Mapping):
            raise output_invalid(where, [(model_id, "must be an object")])
        try:
            nodes.append(Node.model_validate(_normal(model_id, value, outputs)))
        except ValidationError as error:
            complaints = [(_olive_field(field), text) for field, text in explain(error, within=model_id)]
            raise output_invalid(where, complaints) from None
    return nodes


def output_invalid(where: str, complaints: list[tuple[str, str]]) -> PermanentError:
    """The error for a file of Olive's that is not as Olive writes it."""
    return invalid(
        ErrorCode.OUTPUT_INVALID,
        where,
        complaints,
        fix="Give an output_dir as Olive left it when its run had ended; run Olive again if the file is damaged.",
    )


def _normal(model_id: str, raw: Mapping[str, Any], outputs: set[str] | None) -> dict[str, Any]:
    metrics = raw.get("metrics") or {}
    return {
        "model_id": raw.get("model_id", model_id),
        "parent_model_id": raw.get("parent_model_id"),
        "from_pass": raw.get("from_pass"),
        "pass_run_config": raw.get("pass_run_config"),
        "model": _model(raw),
        "metrics": _metrics(metrics) if isinstance(metrics, Mapping) else metrics,
        "goals_met": metrics.get("if_goals_met") if isinstance(metrics, Mapping) else None,
        "is_output": bool(raw.get("is_pareto_frontier")) if outputs is None else model_id in outputs,
        "start_time": raw.get("start_time"),
        "end_time": raw.get("end_time"),
    }


def _model(raw: Mapping[str, Any]) -> Any:
    # Olive 0.13 wrote the field's own name, versions before it the name that the field has in Python code.
    model = raw.get("model_config_data", raw.get("model_config"))
    if isinstance(model, Mapping):
        if model.get("is_pruned"):
            return PRUNED
        return {"type": model.get("type"), "config": model.get("config")}
    return model


def _metrics(metrics: Mapping[str, Any]) -> Any:
    """Name to value, priority and direction; what else a version writes about a metric is left out."""
    values = metrics.get("value")
    if not isinstance(values, Mapping):
        return values
    directions = metrics.get("cmp_direction")
    known = directions if isinstance(directions, Mapping) else {}
    return {name: _metric(value, known.get(name)) for name, value in values.items()}


def _metric(value: Any, direction: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    higher = value.get("higher_is_better")
    if higher is None and direction in (1, -1):  # whatever it is: a set would want it hashable
        higher = direction == 1
    priority = value.get("priority")
    return {
        "value": value.get("value"),
        "priority": -1 if priority is None else priority,
        "higher_is_better": higher,
    }


def _olive_field(field: str) -> str:
    """A field of the contract by the name that it has in Olive's file."""
    model_id, _, rest = field.partition(".")
    head, dot, tail = rest.partition(".")
    names = {"model": "model_config", "metrics": "metrics.value", "goals_met": "metrics.if_goals_met"}
    return ".".join(filter(None, (model_id, names.get(head, head) + dot + tail)))
