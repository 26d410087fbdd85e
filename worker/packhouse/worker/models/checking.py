"""Trying the models of a candidate before its package is made.

The verdicts: ``passed``, it loads (and runs) on the execution provider that it is meant for; ``failed``, it does not
load there, or crashes ONNX Runtime in loading; ``inconclusive``, a limit of the trial was met, or no generated input
runs, or the worker has not that execution provider, and what was seen on the CPU is told; ``not_checked``, nothing was
tried.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from packhouse.schemas.checks import CheckState, ModelCheck, Verdict
from packhouse.schemas.epcontext import ep_contexts
from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.files import InferenceConfig
from packhouse.schemas.onnx import external_locations
from packhouse.schemas.paths import inside
from packhouse.worker.ledger.turns import alone
from packhouse.worker.models.limits import memory_for, seconds_for
from packhouse.worker.models.parts import ModelSource, OnnxMain, SourceFile
from packhouse.worker.models.scratch import NotLaidOut, laid_out
from packhouse.worker.models.session_settings import SessionSettings, allowed
from packhouse.worker.models.signature import TensorType
from packhouse.worker.models.signature_reader import read_signature
from packhouse.worker.models.sizes import Shape
from packhouse.worker.models.trial import Outcome, Trial, not_checked, short, tried
from packhouse.worker.packagers.base import PackageJob
from packhouse.worker.settings import Settings
from packhouse.worker.storage.failures import said
from packhouse.worker.storage.readable import Readable, must_be_as_planned
from packhouse.worker.storage.storage import Storage

_WORST_FIRST: Final = (CheckState.FAILED, CheckState.INCONCLUSIVE, CheckState.NOT_CHECKED, CheckState.PASSED)


@dataclass(frozen=True)
class Checked:
    """What trying a candidate has shown."""

    verdict: Verdict
    by_model: Mapping[str, Mapping[str, Shape]] = field(default_factory=dict[str, Mapping[str, Shape]])
    """Of each ONNX model that ran, by its file: the shapes of the generated inputs that worked, by input."""
    warnings: tuple[str, ...] = ()
    """What is to be known beside the verdict: settings of the model that a trial leaves out."""

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """Those of the only model; empty where there are several."""
        return next(iter(self.by_model.values())) if len(self.by_model) == 1 else {}


class _Kept(BaseModel):
    """An outcome, for the run's other packages."""

    verdict: Verdict
    shapes: dict[str, tuple[int, ...]]


def check(
    job: PackageJob,
    source: ModelSource,
    inference: InferenceConfig | Mapping[str, InferenceConfig],
    *,
    extensions: bool = False,
) -> Checked:
    """Try each ONNX model of a candidate once in a run, however many packages have it.

    ``inference`` is what its models are opened with: one for all, or one each by the model's file (``OnnxMain.main``).
    ``extensions`` says that they have operators of onnxruntime-extensions, which is used where this worker has it.

    A bad model raises nothing: see ``must_pass``. Raises ``PermanentError`` (``model_changed`` and what opening a file
    raises), ``TransientError`` and ``LeaseLost``.
    """
    if job.settings.check_models == "off":
        return Checked(not_checked("the worker's settings switch trials of models off").verdict)
    if not source.onnx_models:
        return Checked(not_checked("it is no ONNX model").verdict)
    outcomes: dict[str, Outcome] = {}
    warnings: dict[str, None] = {}
    job.progress.stage("checking")
    for model in source.onnx_models:
        settings = allowed(inference if isinstance(inference, InferenceConfig) else inference[model.main])
        outcomes[model.main] = _of(job, source, model, settings, extensions=extensions)
        if settings.dropped and outcomes[model.main].verdict.state is not CheckState.NOT_CHECKED:
            names = ", ".join(settings.dropped)
            warnings[f"{model.main} was tried without these of its inference settings: {names}."] = None
    shapes = {main: outcome.shapes for main, outcome in outcomes.items() if outcome.verdict.ran}
    return Checked(_together(outcomes), shapes, tuple(warnings))


def must_pass(checks: Iterable[ModelCheck], settings: Settings) -> None:
    """Raises ``PermanentError`` (``model_check_failed``) for the first verdict that ``check_fails`` names."""
    for each in checks:
        if each.verdict.state in settings.check_fails:
            raise PermanentError(
                ErrorCode.MODEL_CHECK_FAILED,
                f"Candidate {each.rank_in_accelerator} of {each.accelerator} ({said(each.model_id)}) was tried before "
                f"packaging ({each.verdict.state}): {each.verdict.reason or 'no reason was given.'}",
                fix="Correct the model, then packhouse retry, or publish a run without it; the worker's settings "
                "PACKHOUSE_CHECK_MODELS and PACKHOUSE_CHECK_FAILS say what is tried and which verdicts fail a package.",
            )


def _of(
    job: PackageJob, source: ModelSource, model: OnnxMain, settings: SessionSettings, *, extensions: bool
) -> Outcome:
    files = _files_of(job.storage, source, model)
    name = _name(job.settings, files, model, settings, extensions=extensions)
    kept = _kept(job.notebook.check(name))
    if kept is not None:
        return kept
    with alone(job.notebook, f"check {job.notebook.run} {name}", lambda: job.progress.advance(0)) as keep:
        kept = _kept(job.notebook.check(name))
        if kept is None:
            kept = _try(job, files, model, settings, keep, extensions=extensions)
            # What was not tried here, another worker may be able to try.
            if kept.verdict.state is not CheckState.NOT_CHECKED:
                record = _Kept(verdict=kept.verdict, shapes=dict(kept.shapes))
                job.notebook.keep_check(name, record.model_dump_json())
    return kept


def _try(
    job: PackageJob,
    files: Sequence[SourceFile],
    model: OnnxMain,
    settings: SessionSettings,
    keep: Any,
    *,
    extensions: bool,
) -> Outcome:
    limits, total = job.settings, sum(file.size for file in files)
    if total > limits.check_max_bytes:
        return not_checked(f"it has {total} bytes, and models of more than {limits.check_max_bytes} are not tried")

    def advance(count: int) -> None:
        job.progress.advance(count)
        keep()

    trial = Trial(
        model,
        settings,
        memory=memory_for(total, limits.check_memory_bytes),
        seconds=seconds_for(total, limits.check_seconds),
        run=limits.check_models == "run",
        extensions=extensions,
        unknown_rank=_of_unknown_rank(job.storage, files, model),
    )
    try:
        with laid_out(
            files,
            model.main,
            job.storage,
            scratch=limits.scratch,
            most_copied=limits.check_copy_bytes,
            advance=advance,
        ) as laid:
            return tried(trial, laid, lambda: advance(0))
    except NotLaidOut as error:
        return not_checked(f"{error}")


def _files_of(storage: Storage, source: ModelSource, model: OnnxMain) -> list[SourceFile]:
    """The files that opening a model takes: those that its graph refers to, and what belongs beside it."""
    files = {file.relative: file for file in source.files}
    main = files[model.main]
    folder = model.main[: len(model.main) - len(model.main.rpartition("/")[2])]
    with _as_found(storage, main) as file:
        shown = said(file.shown)
        named = {tensor.location for tensor in external_locations(file, shown=shown)}
        if model.ep_contexts:
            named |= {context.location for context in ep_contexts(file, shown=shown) if context.location}
    named |= {name[: -len("xml")] + "bin" for name in named if name.lower().endswith(".xml")}
    wanted = {model.main, *(folder + plain for name in named if (plain := inside(name)) is not None)}
    wanted |= {place for place in (model.external_initializers, model.constant_inputs) if place is not None}
    return [files[relative] for relative in sorted(wanted) if relative in files]


def _of_unknown_rank(storage: Storage, files: Sequence[SourceFile], model: OnnxMain) -> tuple[str, ...]:
    main = next(file for file in files if file.relative == model.main)
    with _as_found(storage, main) as file:
        signature = read_signature(file, shown=said(file.shown))
    return tuple(
        value.name for value in signature.inputs if isinstance(value.type, TensorType) and value.type.shape is None
    )


@contextmanager
def _as_found(storage: Storage, found: SourceFile) -> Generator[Readable]:
    with storage.open_file(found.location) as file:
        must_be_as_planned(file, found.size, found.mark)
        yield file


def _name(
    settings: Settings, files: Sequence[SourceFile], model: OnnxMain, session: SessionSettings, *, extensions: bool
) -> str:
    """What names a trial: equal for two that cannot come out differently."""
    folder = len(model.main) - len(model.main.rpartition("/")[2])
    what = [
        [[file.relative[folder:], file.location.path, file.size, file.mark] for file in files],
        [model.main[folder:], model.external_initializers, model.constant_inputs, extensions],
        [session.session, session.config, session.providers, session.dropped],
        [settings.check_models, settings.check_seconds, settings.check_memory_bytes, settings.check_max_bytes],
        [settings.check_copy_bytes],
    ]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode("utf-8", "surrogateescape")).hexdigest()


def _kept(text: str | None) -> Outcome | None:
    if text is None:
        return None
    try:
        kept = _Kept.model_validate_json(text)
    except ValidationError:  # of another version of Packhouse
        return None
    return Outcome(kept.verdict, kept.shapes)


def _together(outcomes: Mapping[str, Outcome]) -> Verdict:
    """The verdict on a candidate of several models: the worst, with the reasons of all that did not pass."""
    verdicts = [outcome.verdict for outcome in outcomes.values()]
    if len(verdicts) == 1:
        return verdicts[0]
    providers = {verdict.execution_provider for verdict in verdicts}
    reasons = [
        f"{main}: {outcome.verdict.reason}"
        for state in _WORST_FIRST
        for main, outcome in outcomes.items()
        if outcome.verdict.state is state and outcome.verdict.reason
    ]
    return Verdict(
        state=next(state for state in _WORST_FIRST if any(verdict.state is state for verdict in verdicts)),
        reason=short(" ".join(reasons)) if reasons else None,
        execution_provider=providers.pop() if len(providers) == 1 else None,
        ran=all(verdict.ran for verdict in verdicts),
    )
