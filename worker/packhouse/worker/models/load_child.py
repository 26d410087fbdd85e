"""Loads one ONNX model and says on standard output whether it could: run by ``load``, never imported by it."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from typing import Any, Final

_PR_SET_PDEATHSIG: Final = 1


def _bind(parent: int) -> None:
    """Die when the parent does, however it dies. Where the system cannot do that, the limits of time remain."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def _limit(memory: int, cpu_seconds: int) -> None:
    for what, value in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, cpu_seconds), (resource.RLIMIT_CORE, 0)):
        _, hard = resource.getrlimit(what)
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(what, (most, most))


def _load(model: str) -> str | None:
    import onnxruntime  # pyright: ignore[reportMissingTypeStubs] -- it has none

    options: Any = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Loading is asked for, not speed: without these the weights would be copied and rearranged.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.disable_prepacking", "1")
    try:
        onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 -- ONNX Runtime raises whatever it likes; each is the answer
        return f"{error}" or type(error).__name__
    return None


def main() -> None:
    """``load_child LIMITS MODEL``, the limits as JSON."""
    limits, model = json.loads(sys.argv[1]), sys.argv[2]
    _bind(limits["parent"])
    _limit(limits["memory"], limits["cpu_seconds"])
    error = _load(model)
    sys.stdout.write(json.dumps({"error": error}) + "\n")
    sys.stdout.flush()
    # Nothing is left to do, and unloading what a strange model has touched is a chance to crash.
    os._exit(0)


if __name__ == "__main__":
    main()
