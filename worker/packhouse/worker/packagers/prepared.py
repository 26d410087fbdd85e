"""The candidates of a run, found, laid out and tried: what every packaging type begins with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from packhouse.schemas.checks import ModelCheck
from packhouse.schemas.files import InferenceConfig
from packhouse.schemas.ranking import RankedCandidate
from packhouse.worker.models.checking import Checked, check, must_pass
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
    checked: Checked
    """What trying it has shown."""

    @property
    def check(self) -> ModelCheck:
        """The verdict, with whom it is on."""
        ranked = self.candidate.ranked
        return ModelCheck(
            rank=ranked.rank,
            accelerator=ranked.accelerator,
            rank_in_accelerator=ranked.rank_in_accelerator,
            model_id=ranked.model_id,
            verdict=self.checked.verdict,
        )

    @property
    def warnings(self) -> list[str]:
        """What is to be known beside the verdict."""
        ranked = self.candidate.ranked
        return [f"Model {ranked.rank} ({ranked.accelerator}): {text}" for text in self.checked.warnings]

    @property
    def execution_providers(self) -> list[str]:
        """Of all its ONNX models, the preferred first; none where it has no such model."""
        return list(dict.fromkeys(name for each in self.settings.values() for name, _ in each.execution_provider))

    @property
    def needs_extensions(self) -> bool:
        """Whether one of its ONNX models has operators of onnxruntime-extensions."""
        return _needs_extensions(self.candidate)


def prepare(job: PackageJob, scrub: Scrubber, prefix_of: Callable[[RankedCandidate], str]) -> list[Prepared]:
    """Every candidate of the ranking, best first, each in the folder that ``prefix_of`` says.

    Raises ``PermanentError`` for a candidate that cannot be packaged or does not pass, and ``TransientError``.
    """
    candidates = list(candidates_of(job.event, job.ranking, lambda model: find(model, job.locate, job.storage)))
    prepared = [_prepared(job, each, scrub, prefix_of(each.ranked)) for each in candidates]
    must_pass((each.check for each in prepared), job.settings)
    return prepared


def _prepared(job: PackageJob, candidate: Candidate, scrub: Scrubber, prefix: str) -> Prepared:
    signatures = _signatures(job, candidate.source)
    folder = candidate_folder(candidate, scrub, prefix)
    if job.config.config.export_in_mlflow_format:
        signature = signatures.get(candidate.source.main)
        for path, entry in mlflow_files(candidate, folder, signature, job.event.engine).items():
            folder.entries.add(path, entry)
    settings = _settings(candidate)
    checked = check(job, candidate.source, settings, extensions=_needs_extensions(candidate))
    return Prepared(candidate, folder, signatures, settings, checked)


def _needs_extensions(candidate: Candidate) -> bool:
    return any(bool(onnx.config_in(candidate.model).get(_EXTENSIONS)) for onnx in candidate.source.onnx_models)


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
