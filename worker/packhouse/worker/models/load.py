"""Whether ONNX Runtime can load a model, asked in a process of its own: a model file can crash what loads it."""

from __future__ import annotations

from typing import Final

from packhouse.worker.models.guarded import Ended, guarded

SECONDS_FOR_GIB: Final = 30
"""How much longer a model may take for each GiB of it."""
CPU: Final = "CPUExecutionProvider"

_SECONDS: Final = 600
_MEMORY: Final = 6 << 30
_GIB: Final = 1 << 30
_LONGEST_TEXT: Final = 500


def load_error(model: str, *, weights: int) -> str | None:
    """Try to load an ONNX model on the CPU: None where that works, otherwise a short text of what went wrong.

    ``model`` is the absolute path of the file, with its external data beside it; ``weights`` the bytes of all of them,
    which set the limits of memory and time. The process that loads sees no environment and dies with this one.
    ``checking.check`` asks more, of a model that is not yet in a package: settings, execution providers, a run.
    """
    seconds = _SECONDS + SECONDS_FOR_GIB * weights // _GIB
    folder = model.rpartition("/")[0]
    # Loading is asked for, not speed: with optimizations the weights would be copied and rearranged.
    request = {"model": model, "session": {"graph_optimization_level": "ORT_DISABLE_ALL"}, "providers": [[CPU, {}]]}
    ended = guarded(request, memory=memory_for(weights), seconds=seconds, folder=folder)
    if ended.first("loaded") is not None:
        return None
    if ended.timed_out:
        return f"it did not load within {seconds} seconds"
    refused = ended.first("not_loaded")
    if refused is not None:
        return short(str(refused["not_loaded"]).replace(folder + "/", ""))
    return how_it_ended(ended)


def memory_for(weights: int) -> int:
    """Address space in bytes for a model of so many bytes: what the libraries and threads reserve is most of it."""
    return _MEMORY + 4 * weights


def how_it_ended(ended: Ended) -> str:
    """A clause about a process that ended without an answer."""
    if ended.signal is not None:
        return f"it made ONNX Runtime end with {ended.signal}"
    return short(f"the loading process ended with status {ended.status}: {ended.last_words}")


def short(text: str) -> str:
    """A text in one line, cut where it is too long."""
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + "…"
