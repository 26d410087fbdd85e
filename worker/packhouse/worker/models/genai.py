"""Reading a ``genai_config.json`` from storage."""

from __future__ import annotations

from typing import Any

from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.genai import LARGEST, parse
from packhouse.worker.storage.failures import said
from packhouse.worker.storage.readable import Readable, read_full


def read_config(file: Readable) -> Any:
    """The config as JSON. Raises ``PermanentError`` (``model_unreadable``) for what is none, or above 4 MiB."""
    if file.size > LARGEST:
        raise _broken(file, f"it has {file.size} bytes")
    data = read_full(file, memoryview(bytearray(file.size)), 0)
    try:
        return parse(bytes(data))
    except ValueError as error:
        raise _broken(file, f"it is not JSON ({error})") from error


def _broken(file: Readable, reason: str) -> PermanentError:
    return PermanentError(
        ErrorCode.MODEL_UNREADABLE,
        f"{said(file.shown)} cannot be read: {reason}.",
        fix="Save the model again, or take the file away if the model is not meant for onnxruntime-genai.",
    )
