"""The candidates of a run, found and laid out: what every packaging type begins with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from packhouse.schemas.files import InferenceConfig
from packhouse.schemas.ranking import RankedCandidate
from packhouse.worker.models.signature import Signature
from packhouse.worker.models.signature_reader import read_signature
from packhouse.worker.models.source import ModelSource, find
from packhouse.worker.package.candidate import Candidate, CandidateFolder, candidate_folder, candidates_of
from packhouse.worker.package.inference import inference_config
from packhouse.worker.package.mlflow import mlflow_files
from packhouse.worker.package.scrub import Scrubber
from packhouse.worker.packagers.base import PackageJob
from packhouse.worker.storage.failures import said

_EXTENSIONS: Final = "use_ort_extensions"


@dataclass(frozen=True)
class Prepared:
    """A candidate, and what is known of it before anything is written."""

    candidate: Candidate
    folder: CandidateFolder
    signatures: Mapping[str, Signature]
    """Of each of its ONNX models, by the model's file relative to the candidate's folder."""
    settings: Mapping[str, InferenceConfig]
    """With what each of them is opened, by the same."""

    @property
    def execution_providers(self) -> list[str]:
        """Of all its ONNX models, the preferred first; none where it has no such model."""
        return list(dict.fromkeys(name for each in self.settings.values() for name, _ in each.execution_provider))

    @property
    def needs_extensions(self) -> bool:
        """Whether one of its ONNX models has operators of onnxruntime-extensions."""
        model = self.candidate.model
        return any(bool(onnx.config_in(model).get(_EXTENSIONS)) for onnx in self.candidate.source.onnx_models)


def prepare(job: PackageJob, scrub: Scrubber, prefix_of: Callable[[RankedCandidate], str]) -> list[Prepared]:
    """Every candidate of the ranking, best first, each in the folder that ``prefix_of`` says.

    Raises ``PermanentError`` for a candidate that cannot be packaged, and ``TransientError``.
    """
    candidates = list(candidates_of(job.event, job.ranking, lambda model: find(model, job.locate, job.storage)))
    return [_prepared(job, each, scrub, prefix_of(each.ranked)) for each in candidates]


def _prepared(job: PackageJob, candidate: Candidate, scrub: Scrubber, prefix: str) -> Prepared:
    signatures = _signatures(job, candidate.source)
    folder = candidate_folder(candidate, scrub, prefix)
    if job.config.config.export_in_mlflow_format:
        signature = signatures.get(candidate.source.main)
        for path, entry in mlflow_files(candidate, folder, signature, job.event.engine).items():
            folder.entries.add(path, entry)
    return Prepared(candidate, folder, signatures, _settings(candidate))


def _settings(candidate: Candidate) -> dict[str, InferenceConfig]:
    found: dict[str, InferenceConfig] = {}
    for onnx in candidate.source.onnx_models:
        settings = onnx.config_in(candidate.model).get("inference_settings")
        found[onnx.main] = inference_config(
            settings if isinstance(settings, dict) else {}, candidate.ranked.accelerator
        )
    return found


def _signatures(job: PackageJob, source: ModelSource) -> dict[str, Signature]:
    files = {file.relative: file for file in source.files}
    found: dict[str, Signature] = {}
    for model in source.onnx_models:
        with job.storage.open_file(files[model.main].location) as file:
            found[model.main] = read_signature(file, shown=said(file.shown))
    return found
