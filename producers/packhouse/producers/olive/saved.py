"""Which models a 0.6 run without search put out: those that it saved in a folder per pass flow.

There ``{prefix}_model.json`` is the model's configuration with the paths of the saved copy,
``{prefix}_metrics.json`` the metrics of the flow's last model. Neither names the model's id, so it is found by what
they say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from packhouse.producers.olive.accelerator import split_prefix
from packhouse.producers.olive.files import FootprintFiles, read_json
from packhouse.producers.olive.nodes import RawFootprint

_MODEL: Final = "_model.json"
_METRICS: Final = "_metrics.json"


def saved_models(files: FootprintFiles, nodes: RawFootprint) -> set[str] | None:
    """The ids of the saved models, or None where there are none or one cannot be told from its siblings."""
    found: set[str] = set()
    for file in sorted(files.folder.glob(f"*/*{_MODEL}")):
        prefix = file.name.removesuffix(_MODEL)
        if split_prefix(prefix)[1] != files.accelerator:
            continue
        metrics_file = file.with_name(prefix + _METRICS)
        metrics = read_json(metrics_file) if metrics_file.is_file() else None
        alike = _alike(read_json(file), metrics, nodes)
        if len(alike) != 1:
            return None
        found |= alike
    return found or None


def _alike(saved: Mapping[str, Any], metrics: Mapping[str, Any] | None, nodes: RawFootprint) -> set[str]:
    alike: set[str] = set()
    for model_id, node in nodes.items():
        model = node.get("model_config") if isinstance(node, Mapping) else None
        if not isinstance(model, Mapping) or _without_paths(model) != _without_paths(saved):
            continue
        measured = (node.get("metrics") or {}).get("value")
        if metrics is None or measured == metrics:
            alike.add(model_id)
    return alike


def _without_paths(model: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    config = model.get("config")
    kept = {
        name: value
        for name, value in (config.items() if isinstance(config, Mapping) else ())
        # Saving copies the files of these, and so rewrites them.
        if not name.endswith("_path") and name != "model_attributes"
    }
    return str(model.get("type")).lower(), kept
