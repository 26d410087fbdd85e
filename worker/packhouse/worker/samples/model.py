"""What the sample code of a package is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from packhouse.schemas.events import Package
from packhouse.worker.models.signature import Signature


@dataclass(frozen=True)
class SampleGraph:
    """One ONNX file of the candidate, as the samples run it."""

    file: str
    """Relative to the candidate's folder, with forward slashes: ``model.onnx``, most often."""
    signature: Signature | None = None
    """None where it could not be read: the samples then read it from the session alone."""
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Shapes by the names of the inputs that were seen to work together; no entry where none was found."""


@dataclass(frozen=True)
class SampleModel:
    """The best candidate of a run."""

    folder: str
    """Of the candidate, relative to the root of the package: ``CandidateModels/cpu-cpu/BestCandidateModel_1``."""
    type: str
    """As the engine calls it: ``ONNXModel``, ``PyTorchModel``, …"""
    graphs: tuple[SampleGraph, ...] = ()
    """Its ONNX files: one for most, several for a model of several components, none for what is not ONNX."""
    execution_providers: tuple[str, ...] = ()
    """That it was measured on, the preferred first."""
    packages: tuple[Package, ...] = ()
    """The runtime packages of the engine, as far as this model needs them: what ``requirements.txt`` pins."""
    use_ort_extensions: bool = False
    """Whether it has operators of onnxruntime-extensions."""
    generative: bool = False
    """Whether it is run by onnxruntime-genai: it has a ``genai_config.json`` and the files of a tokenizer."""
    no_code: str | None = None
    """Why there is no code for it, as a sentence; None where there is."""
