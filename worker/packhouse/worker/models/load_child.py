"""Loads one ONNX model, runs it if asked to, and tells on standard output: for ``guarded``, in a process of its own.

Each line is an object: ``{"started": …}`` with the execution providers there are, ``{"missing": …}`` for what the
model needs and is not there, ``{"loaded": …}`` with the providers at work or ``{"not_loaded": …}`` with the error, and
where a run was asked for ``{"ran": …}`` with the shapes or ``{"not_run": …}`` with the reason.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
from collections.abc import Mapping
from typing import Any, Final

from packhouse.worker.models.confine import Limits, confine

_EXTENSIONS: Final = "onnxruntime_extensions"
_CPU: Final = "CPUExecutionProvider"
_REMOTE: Final = "AzureExecutionProvider"
"""Calls services on the network: never used, and said not to be there."""


def _tell(**said: Any) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


def _options(ort: Any, request: Mapping[str, Any]) -> Any:
    given = request.get("session", {})
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = given.get("intra_op_num_threads", 1)
    options.inter_op_num_threads = given.get("inter_op_num_threads", 1)
    if "execution_mode" in given:
        options.execution_mode = getattr(ort.ExecutionMode, given["execution_mode"])
    if "graph_optimization_level" in given:
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, given["graph_optimization_level"])
    for name in ("enable_cpu_mem_arena", "enable_mem_pattern", "enable_mem_reuse"):
        if name in given:
            setattr(options, name, given[name])
    for key, value in request.get("config", {}).items():
        options.add_session_config_entry(key, value)
    # Copies of the weights in another order make it faster, and are not asked for.
    options.add_session_config_entry("session.disable_prepacking", "1")
    return options


def _arrays(path: str | None) -> dict[str, Any]:
    """What a file of NumPy arrays holds; objects, which would be code, are refused."""
    if path is None:
        return {}
    import numpy as np

    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _session(ort: Any, request: Mapping[str, Any], providers: list[tuple[str, dict[str, str]]]) -> Any:
    options = _options(ort, request)
    if request.get("extensions"):
        # The operator's own library, if there is one; never one that an event names.
        options.register_custom_ops_library(importlib.import_module(_EXTENSIONS).get_library_path())
    beside = {
        name: ort.OrtValue.ortvalue_from_numpy(array) for name, array in _arrays(request.get("initializers")).items()
    }
    if beside:
        options.add_external_initializers(list(beside), list(beside.values()))
    return ort.InferenceSession(
        request["model"], options, providers=providers, enable_fallback=0, read_config_from_model=0
    )


def attempt(request: Mapping[str, Any]) -> None:
    """Load the model of a request, run it if asked to, and tell."""
    import onnxruntime as ort  # pyright: ignore[reportMissingTypeStubs] -- it has none

    available = [name for name in ort.get_available_providers() if name != _REMOTE]
    _tell(started=available)
    missing = [name for name in request.get("needs", ()) if name not in available]
    if request.get("extensions") and importlib.util.find_spec(_EXTENSIONS) is None:
        missing.append("onnxruntime-extensions")
    if missing:
        _tell(missing=missing)
        return
    asked = [(str(name), dict(options)) for name, options in request["providers"]]
    on_cpu = not asked or asked[0][0] not in available
    providers = [(_CPU, {})] if on_cpu else [pair for pair in asked if pair[0] in available]
    if on_cpu:
        request = {**request, "config": {}}
    try:
        session = _session(ort, request, providers)
    except Exception as error:  # noqa: BLE001 -- ONNX Runtime raises whatever it likes; each is the answer
        _tell(not_loaded=f"{error}" or type(error).__name__, on=providers[0][0])
        return
    _tell(loaded=session.get_providers())
    if request.get("run"):
        from packhouse.worker.models.trial_run import run

        _tell(**run(ort, session, request["run"], _arrays(request.get("constants"))))


def main() -> None:
    """``load_child LIMITS REQUEST``, both as JSON: see ``confine.Limits`` and ``attempt``."""
    confine(Limits.of(json.loads(sys.argv[1])))
    attempt(json.loads(sys.argv[2]))
    # Nothing is left to do, and unloading what a strange model has touched is a chance to crash.
    os._exit(0)


if __name__ == "__main__":
    main()
