"""Running a loaded model on generated inputs, in the process that loaded it."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from packhouse.worker.models.generated import BFLOAT16, GENERATED, generated
from packhouse.worker.models.sizes import MOST_ELEMENTS, Input, tries

_ONNX_BFLOAT16: Final = 16
_TENSOR: Final = re.compile(r"tensor\(([a-z0-9]+)\)")


def run(ort: Any, session: Any, asked: Mapping[str, Any], constants: Mapping[str, Any]) -> dict[str, Any]:
    """``{"ran": shapes}`` of the generated inputs that worked, or ``{"not_run": reason}``.

    ``asked`` has the ``seconds`` for all tries, and the names of inputs of ``unknown_rank``, which ONNX Runtime does
    not tell from scalars. ``constants`` are inputs that are given, by name.
    """
    values = [value for value in session.get_inputs() if value.name not in constants]
    odd = next((value for value in values if not _generated(value.type)), None)
    if odd is not None:
        return {"not_run": f"its input {odd.name!r} is a {odd.type}, for which none is generated"}
    inputs = [_input(value, asked.get("unknown_rank", ())) for value in values]
    deadline = time.monotonic() + asked["seconds"]
    reason = f"its inputs have more than {MOST_ELEMENTS} elements"
    for shapes in tries(inputs):
        left = deadline - time.monotonic()
        if left <= 0:
            return {"not_run": f"no generated input ran within {asked['seconds']} seconds: {reason}"}
        feed = dict(constants) | {each.name: generated(each.element, shapes[each.name]) for each in inputs}
        halves = [each.name for each in inputs if each.element == BFLOAT16]
        error = _attempt(ort, session, feed, halves, left)
        if error is None:
            return {"ran": {name: list(shape) for name, shape in shapes.items()}}
        reason = error
    return {"not_run": reason}


def _attempt(ort: Any, session: Any, feed: Mapping[str, Any], halves: Sequence[str], seconds: float) -> str | None:
    options = ort.RunOptions()
    options.log_severity_level = 4

    def stop() -> None:
        options.terminate = True

    clock = threading.Timer(seconds, stop)
    clock.daemon = True
    clock.start()
    try:
        if halves:
            session.run_with_ort_values(None, _values(ort, feed, halves), options)
        else:
            session.run(None, feed, options)
    except Exception as error:  # noqa: BLE001 -- ONNX Runtime raises whatever it likes; the next shapes may do
        return f"{error}" or type(error).__name__
    finally:
        clock.cancel()
    return None


def _values(ort: Any, feed: Mapping[str, Any], halves: Sequence[str]) -> dict[str, Any]:
    """As ONNX Runtime takes what NumPy has no type for; it takes no strings so."""
    make = ort.OrtValue
    return {
        name: make.ortvalue_from_numpy_with_onnx_type(array, _ONNX_BFLOAT16)
        if name in halves
        else make.ortvalue_from_numpy(array)
        for name, array in feed.items()
    }


def _generated(kind: str) -> bool:
    element = _TENSOR.fullmatch(kind)
    return element is not None and element[1] in GENERATED


def _input(value: Any, unknown_rank: Sequence[str]) -> Input:
    element = value.type[len("tensor(") : -1]
    if value.name in unknown_rank:
        return Input(value.name, element, None)
    open_ended = (each if not isinstance(each, int) or each >= 0 else None for each in value.shape)
    return Input(value.name, element, tuple(open_ended))
