"""Models as the sample code sees them: made ones, for tests that need no real file."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from packhouse.schemas.events import Package
from packhouse.worker.models.signature import MapType, OptionalType, SequenceType, Signature, TensorType, Value
from packhouse.worker.samples.model import SampleGraph, SampleModel

FOLDER: Final = "CandidateModels/cpu-cpu/BestCandidateModel_1"

PLAIN: Final = Signature((Value("x", TensorType("float", (1, "n", None))),), (Value("y", TensorType("float", None)),))
EVERYTHING: Final = Signature(
    (
        Value("x", TensorType("float", (1, "n", None))),
        Value("count", TensorType("int64", ())),
        Value("text", TensorType("string", ("batch",))),
        Value("unranked", TensorType("uint8", None)),
        Value("half", TensorType("bfloat16", (2,))),
        Value("perhaps", OptionalType(TensorType("bool", (2,)))),
        Value("several", SequenceType(TensorType("int32", None))),
    ),
    (
        Value("probabilities", SequenceType(MapType("int64", TensorType("float", ())))),
        Value("by name", MapType("string", TensorType("double", ()))),
    ),
)


def sampled(
    *signatures: Signature | None, shapes: dict[str, tuple[int, ...]] | None = None, **more: Any
) -> SampleModel:
    """A model of so many ONNX files, ``model.onnx`` where it is one."""
    files = ["model.onnx"] if len(signatures) == 1 else [f"part{at}/model.onnx" for at in range(len(signatures))]
    graphs = tuple(SampleGraph(file, signatures[at], shapes or {}) for at, file in enumerate(files))
    runtime = (Package(name="onnxruntime", version="1.18.1"),)
    model = SampleModel(FOLDER, "ONNXModel", graphs, ("CPUExecutionProvider",), runtime)
    return dataclasses.replace(model, **more)
