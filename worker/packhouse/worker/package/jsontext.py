"""The one spelling of every JSON file that is put into a package."""

from __future__ import annotations

import json
import math
from typing import Any

from pydantic import BaseModel


def plain(document: BaseModel) -> Any:
    """A document as plain JSON values, fields in the order of the document, under the names they have in the file."""
    return document.model_dump(mode="json", by_alias=True)


def json_bytes(value: Any) -> bytes:
    """JSON as a person reads it: two spaces, keys as they come, a line feed at the end, UTF-8.

    A document is spelled by its fields. Numbers that JSON cannot say become ``"NaN"``, ``"Infinity"``, ``"-Infinity"``.
    Equal values in equal order give equal bytes.
    """
    if isinstance(value, BaseModel):
        value = plain(value)
    text = json.dumps(_sayable(value), indent=2, ensure_ascii=False, allow_nan=False)
    # A lone surrogate is no UTF-8; inside a JSON string its backslash form says the same.
    return (text + "\n").encode("utf-8", "backslashreplace")


def _sayable(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: _sayable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_sayable(item) for item in value]
    return value
