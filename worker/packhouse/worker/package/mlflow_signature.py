"""A model's signature as MLflow writes it: two lists of tensors, as JSON inside a string.

Source of the form: ``mlflow.types.schema`` (``Schema.to_json``, ``TensorSpec``), MLflow 3.17.2.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from packhouse.worker.models.signature import Signature, TensorType, Value

_NUMPY: Final = {
    "float16": "float16", "float": "float32", "double": "float64",
    "int8": "int8", "int16": "int16", "int32": "int32", "int64": "int64",
    "uint8": "uint8", "uint16": "uint16", "uint32": "uint32", "uint64": "uint64",
    "bool": "bool", "string": "str", "complex64": "complex64", "complex128": "complex128",
}  # fmt: skip
"""Element type as ONNX names it to NumPy's. The others (bfloat16, the 4 and 8 bit floats, int4) NumPy does not have."""
_ANY: Final = -1


def signature_of(signature: Signature) -> dict[str, str | None] | None:
    """The ``signature`` of an ``MLmodel``, or None where MLflow has no words for either side.

    A dimension that is not fixed is -1. MLflow enforces what is said of the inputs, so a side is said whole or not at
    all: not where a value is a sequence, a map or optional, has no known rank, or elements that NumPy does not have.
    """
    inputs, outputs = _schema(signature.inputs), _schema(signature.outputs)
    return None if inputs is None and outputs is None else {"inputs": inputs, "outputs": outputs, "params": None}


def _schema(values: Sequence[Value]) -> str | None:
    specs = [_spec(value) for value in values]
    return json.dumps(specs) if specs and None not in specs else None


def _spec(value: Value) -> dict[str, Any] | None:
    kind = value.type
    if not isinstance(kind, TensorType) or kind.shape is None or kind.element not in _NUMPY or not value.name:
        return None
    shape = [size if isinstance(size, int) and size >= 0 else _ANY for size in kind.shape]
    return {"name": value.name, "type": "tensor", "tensor-spec": {"dtype": _NUMPY[kind.element], "shape": shape}}
