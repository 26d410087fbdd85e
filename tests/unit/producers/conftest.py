from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Raw = dict[str, Any]
WriteJson = Callable[[Path, Any], Path]
MakeNode = Callable[..., Raw]


def _node(
    model_id: str,
    parent: str | None = None,
    *,
    path: str | None = None,
    accuracy: Any = None,
    provider: str | None = None,
    options: Raw | None = None,
    device: str | None = None,
    frontier: bool = False,
    key: str = "model_config",
    end: float = 0,
) -> Raw:
    """A node as Olive writes it; without a parent, the input model's."""
    settings = {"execution_provider": [provider], "provider_options": [options or {}]} if provider else None
    model = {"type": "ONNXModel", "config": {"model_path": path, "inference_settings": settings}} if path else None
    value = {"accuracy-score": {"value": accuracy, "priority": 1, "higher_is_better": True}}
    metrics = {"value": value, "cmp_direction": {"accuracy-score": 1}, "if_goals_met": True}
    return {
        "model_id": model_id,
        "parent_model_id": parent,
        key: model,
        "from_pass": "OnnxQuantization" if parent else None,
        "pass_run_config": {"device": device} if parent else None,
        "is_pareto_frontier": frontier,
        "metrics": None if accuracy is None else metrics,
        "start_time": 0,
        "end_time": end,
    }


@pytest.fixture
def node() -> MakeNode:
    return _node


@pytest.fixture
def write_json() -> WriteJson:
    def write(path: Path, value: Any) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        nodes = {each["model_id"]: each for each in value} if isinstance(value, list) else value
        path.write_text(json.dumps(nodes))
        return path

    return write
