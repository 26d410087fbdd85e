"""Whether ONNX Runtime can load a model, asked in a process of its own: a model file can crash what loads it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any, Final

_CHILD: Final = "packhouse.worker.models.load_child"
_SECONDS: Final = 600
_SECONDS_FOR_GIB: Final = 30
_MEMORY: Final = 6 << 30
"""Address space, not memory in use: what the libraries and their threads reserve is most of it."""
_GIB: Final = 1 << 30
_LONGEST_TEXT: Final = 500


def load_error(model: str, *, weights: int) -> str | None:
    """Try to load an ONNX model on the CPU: None where that works, otherwise a short text of what went wrong.

    ``model`` is the absolute path of the file, with its external data beside it; ``weights`` the bytes of all of them,
    which set the limits of memory and time. The process that loads sees no environment and dies with this one.
    """
    seconds = _SECONDS + _SECONDS_FOR_GIB * weights // _GIB
    limits = {"memory": _MEMORY + 4 * weights, "cpu_seconds": seconds, "parent": os.getpid()}
    command = [sys.executable, "-I", "-m", _CHILD, json.dumps(limits), model]
    folder = model.rpartition("/")[0]
    try:
        done = subprocess.run(
            command,
            env={"LC_ALL": "C.UTF-8"},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it did not load within {seconds} seconds"
    answer = _answer(done.stdout)
    if answer is None:
        return _end(done.returncode, done.stderr)
    error = answer.get("error")
    return None if error is None else _short(str(error).replace(folder + "/", ""))


def _answer(output: bytes) -> dict[str, Any] | None:
    lines = output.splitlines()
    try:
        answer = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _end(status: int, errors: bytes) -> str:
    if status < 0:
        return f"it made ONNX Runtime end with {signal.Signals(-status).name}"
    lines = errors.decode("utf-8", "replace").splitlines()
    return _short(f"the loading process ended with status {status}: {lines[-1] if lines else 'no message'}")


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + "…"
