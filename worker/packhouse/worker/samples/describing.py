"""Types of inputs and outputs as text for people."""

from __future__ import annotations

import re

from packhouse.worker.models.signature import MapType, OptionalType, SequenceType, TensorType, ValueType

_WORD = re.compile(r"[A-Za-z0-9_.+*/ -]{1,60}")


def type_text(value: ValueType) -> str:
    """Such as ``float[1,3,height,?]``, ``int64[]`` for a scalar, ``sequence of float[?]``, ``map of int64 to float[]``.

    ASCII letters, digits and a few signs, safe in any comment: a dimension with another name is shown as ``?``.
    """
    if isinstance(value, TensorType):
        shape = "" if value.shape is None else f"[{','.join(_dimension(each) for each in value.shape)}]"
        return _word(value.element) + shape
    if isinstance(value, SequenceType):
        return f"sequence of {type_text(value.of)}"
    if isinstance(value, MapType):
        return f"map of {_word(value.key)} to {type_text(value.value)}"
    if isinstance(value, OptionalType):
        return f"optional {type_text(value.of)}"
    raise TypeError(f"{value!r} is no type of a value")


def _dimension(value: int | str | None) -> str:
    return str(value) if isinstance(value, int) else _word(value or "?")


def _word(text: str) -> str:
    return text if _WORD.fullmatch(text) and "*/" not in text else "?"
