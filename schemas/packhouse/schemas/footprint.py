"""Footprints: what an engine tried for one accelerator, as a lineage of nodes with their metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, JsonValue, WithJsonSchema, field_validator

from packhouse.schemas.accelerator import Accelerator
from packhouse.schemas.base import Document, Text

_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _number(value: Any) -> int | float | None:
    if value is None:
        return None
    if isinstance(value, str) and value in _WORDS:
        return _WORDS[value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(  # noqa: TRY004 (pydantic's word for a bad value)
            'must be a number, null, or one of the strings "NaN", "Infinity", "-Infinity"'
        )
    return value


Number = Annotated[
    int | float | None,
    BeforeValidator(_number),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"enum": list(_WORDS)}, {"type": "null"}]}),
]
"""A measured value. Integers keep every digit; null says that there is none."""


class Metric(Document):
    """One measured value. An objective has a ``priority`` of 1 or above, 1 the weightiest; -1 is none."""

    value: Number = None
    priority: Annotated[int, Field(strict=True, ge=-1)] = -1
    higher_is_better: Annotated[bool, Field(strict=True)]


Metrics = dict[Text, Metric]
"""Metrics by their full name, such as ``accuracy-accuracy_score`` or ``latency-avg``."""


class ModelConfig(Document):
    """How an engine describes a model: Olive's ``{"type": …, "config": {…}}``.

    ``config`` is the engine's own, kept as it came; Packhouse reads ``model_path``, ``onnx_file_name`` and
    ``inference_settings`` of it.
    """

    type: Text
    config: dict[str, JsonValue]

    @property
    def kind(self) -> str:
        """The type in lower case: Olive's versions differ in the spelling (``ONNXModel``, ``onnxmodel``)."""
        return self.type.lower()

    @property
    def is_onnx(self) -> bool:
        """Whether this is one ONNX model, as against several or another format."""
        return self.kind == "onnxmodel"

    @property
    def model_path(self) -> str | None:
        """Where the engine has the model: a file or a folder, or None."""
        path = self.config.get("model_path")
        return path if isinstance(path, str) and path else None

    @property
    def inference_settings(self) -> Mapping[str, JsonValue]:
        """The settings the engine measured the model with; empty where it set none."""
        settings = self.config.get("inference_settings")
        return settings if isinstance(settings, dict) else {}


class Node(Document):
    """One model of a footprint: where it came from, what it is, and how it measured.

    The input model has neither parent nor pass. A node in the middle of the lineage may have no metrics, one that
    the engine pruned has no model.
    """

    model_config = ConfigDict(protected_namespaces=(), populate_by_name=True)

    model_id: Text
    parent_model_id: Text | None = None
    from_pass: Text | None = None
    pass_run_config: dict[str, JsonValue] | None = None
    model: ModelConfig | None = None
    metrics: Metrics | None = None
    goals_met: bool | None = None
    is_output: bool = False
    """Whether the engine marked this model as a result: on the frontier of its search, or in its list of outputs."""
    start_time: float | None = None
    """Seconds since 1970."""
    end_time: float | None = None

    @property
    def is_input(self) -> bool:
        """Whether this is the model that the engine was given."""
        return self.parent_model_id is None and self.from_pass is None

    @property
    def measured(self) -> Metrics:
        """The metrics, none as an empty mapping."""
        return self.metrics or {}


class Footprint(Document):
    """All nodes of one accelerator, in the order in which the engine made them."""

    accelerator: Accelerator
    nodes: list[Node]

    @field_validator("nodes")
    @classmethod
    def _sound_lineage(cls, nodes: list[Node]) -> list[Node]:
        parents: dict[str, str | None] = {}
        for node in nodes:
            if node.model_id in parents:
                raise ValueError(f"model {node.model_id!r} is listed twice")
            parents[node.model_id] = node.parent_model_id
        sound: set[str] = set()
        for start in parents:
            path: dict[str, None] = {}
            current: str | None = start
            while current is not None and current not in sound:
                if current in path:
                    raise ValueError(f"the lineage of model {start!r} loops at {current!r} (parent_model_id)")
                path[current] = None
                parent = parents[current]
                if parent is not None and parent not in parents:
                    raise ValueError(
                        f"model {current!r} has the parent_model_id {parent!r}, which is not among the nodes"
                    )
                current = parent
            sound.update(path)
        return nodes

    def lineage(self, model_id: str) -> list[Node]:
        """The nodes from the input model to this one, both included. Raises ``KeyError``."""
        by_id = {node.model_id: node for node in self.nodes}
        line = [by_id[model_id]]
        while (parent := line[-1].parent_model_id) is not None:
            line.append(by_id[parent])
        return line[::-1]
