"""The settings of a session in the words of MLflow's ``onnx`` flavour.

Source of the form: ``_OnnxModelWrapper`` in ``mlflow.onnx``, MLflow 3.17.2: it knows five session options and passes
over all others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from pydantic import JsonValue

Provider: TypeAlias = str | list[Any]
"""A name, or a name with options."""

_THREADS: Final = ("inter_op_num_threads", "intra_op_num_threads")
_LEVELS: Final = {
    "ORT_DISABLE_ALL": 0, "ORT_ENABLE_BASIC": 1, "ORT_ENABLE_EXTENDED": 2, "ORT_ENABLE_LAYOUT": 3, "ORT_ENABLE_ALL": 99
}  # fmt: skip
_MODES: Final = {0: "SEQUENTIAL", 1: "PARALLEL", "ORT_SEQUENTIAL": "SEQUENTIAL", "ORT_PARALLEL": "PARALLEL"}
_WRITING: Final = ("ep.context_", "session.optimized_model_", "session.collect_node_memory_stats_to_file")
"""Starts of config entries that make ONNX Runtime write a file, as in the sample code."""
_LONGEST_KEY: Final = 200
"""YAML takes no key of more than 1024 characters on one line; no option has a name of even so many."""


def providers_of(pairs: Sequence[tuple[str, Mapping[str, JsonValue]]]) -> list[Provider]:
    """The execution providers, the preferred first. One without options is its name, which every MLflow understands."""
    return [[name, options] if (options := _plain(given)) else name for name, given in pairs]


def session_options_of(options: Mapping[str, JsonValue]) -> dict[str, Any] | None:
    """Of the session options those that MLflow sets, or None.

    No config entry is one that ONNX Runtime writes a file for: whoever opens the model did not ask for that.
    """
    known: dict[str, Any] = {name: value for name in _THREADS if (value := _count(options.get(name)))}
    mode = options.get("execution_mode")
    if isinstance(mode, str | int):
        mode = mode.upper() if isinstance(mode, str) else mode
        mode = _MODES.get(mode, mode)
        if mode in _MODES.values():
            known["execution_mode"] = mode
    level = options.get("graph_optimization_level")
    level = _LEVELS.get(level.upper()) if isinstance(level, str) else level
    if isinstance(level, int) and level in _LEVELS.values():
        known["graph_optimization_level"] = level
    extra = options.get("extra_session_config")
    if isinstance(extra, dict):
        plain = _plain(extra).items()
        if entries := {key: _word(value) for key, value in plain if not key.startswith(_WRITING)}:
            known["extra_session_config"] = entries
    return known or None


def _count(value: JsonValue) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _plain(options: Mapping[str, JsonValue]) -> dict[str, str | int]:
    """Options that have a value that is no container; numbers with a point become text, as ONNX Runtime reads them."""
    return {
        key: str(value) if isinstance(value, float) else value
        for key, value in options.items()
        if isinstance(value, str | int | float) and len(key) <= _LONGEST_KEY
    }


def _word(value: str | int) -> str:
    """A session config entry: ONNX Runtime wants text, and 1 or 0 for yes or no."""
    return str(int(value)) if isinstance(value, bool) else str(value)
