"""One ONNX model loaded, and run on generated inputs, as it will lie in the package; and what is to be said of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from packhouse.schemas.accelerator import EXECUTION_PROVIDERS
from packhouse.schemas.checks import CheckState, Verdict
from packhouse.worker.models.guarded import Ended, guarded
from packhouse.worker.models.parts import OnnxMain
from packhouse.worker.models.scratch import Laid
from packhouse.worker.models.session_settings import CPU, SessionSettings
from packhouse.worker.models.sizes import Shape

_SUFFIX: Final = "ExecutionProvider"
_MOST_SECONDS_OF_RUNS: Final = 60.0
_LONGEST_TEXT: Final = 500

_NO_MEMORY: Final = re.compile(
    r"bad[ _]alloc|failed to allocate|out of memory|cannot allocate memory|memoryerror|bad allocation", re.IGNORECASE
)
_NEWER: Final = re.compile(
    r"unsupported model IR version|is under development|only \*?guarantees\*? support for models", re.IGNORECASE
)
_NO_DEVICE: Final = re.compile(
    r"no CUDA-capable device|CUDA failure|cudaError|device not found|no device", re.IGNORECASE
)
_KILLED: Final = ("SIGKILL", "SIGXCPU", "SIGTERM")


@dataclass(frozen=True)
class Outcome:
    """What came of one model."""

    verdict: Verdict
    shapes: Mapping[str, Shape] = field(default_factory=dict[str, Shape])
    """Of the generated inputs that worked, by input; empty where it was not run, or has no inputs."""


@dataclass(frozen=True)
class Trial:
    """What is to be tried, and within what."""

    model: OnnxMain
    settings: SessionSettings
    memory: int
    """Bytes, for everything."""
    seconds: float
    run: bool
    extensions: bool = False
    unknown_rank: tuple[str, ...] = ()
    """Names of inputs whose rank the model does not say."""

    @property
    def provider(self) -> str:
        """The execution provider that it is meant for."""
        return self.settings.providers[0][0] if self.settings.providers else CPU

    def request(self, root: str) -> dict[str, Any]:
        """As ``load_child`` takes it."""
        model, settings = self.model, self.settings
        needs = [self.provider if not made_by else _provider(made_by) for made_by in model.ep_contexts]
        wanted: dict[str, Any] = {
            "model": f"{root}/{model.main}",
            "session": dict(settings.session),
            "config": dict(settings.config),
            "providers": [[name, dict(options)] for name, options in settings.providers],
            "extensions": self.extensions,
            "needs": needs,
        }
        for key, place in (("initializers", model.external_initializers), ("constants", model.constant_inputs)):
            if place is not None:
                wanted[key] = f"{root}/{place}"
        if self.run:
            seconds = min(_MOST_SECONDS_OF_RUNS, self.seconds / 3)
            wanted["run"] = {"seconds": round(seconds, 1), "unknown_rank": list(self.unknown_rank)}
        return wanted


def tried(trial: Trial, laid: Laid, waiting: Callable[[], None]) -> Outcome:
    """Try a model that is laid out. ``waiting`` is called several times a second; what it raises ends the trial."""
    ended = guarded(
        trial.request(laid.root),
        memory=trial.memory,
        devices=trial.provider != CPU,
        seconds=trial.seconds,
        folder=laid.root,
        descriptors=laid.descriptors,
        waiting=waiting,
    )
    changed = laid.changed
    if changed is not None:
        return inconclusive(f"while it was tried, something became of {changed}")
    return _Judge(trial, ended, (laid.root, *laid.real)).outcome()


def short(text: str) -> str:
    """A text in one line, cut where it is too long."""
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + "…"


def inconclusive(reason: str, provider: str | None = None) -> Outcome:
    """It was tried, and that says neither."""
    return _said(CheckState.INCONCLUSIVE, reason, provider)


def not_checked(reason: str) -> Outcome:
    """It was not tried."""
    return _said(CheckState.NOT_CHECKED, reason)


def _said(state: CheckState, reason: str, provider: str | None = None) -> Outcome:
    text = short(reason)
    text = text[:1].upper() + text[1:]
    return Outcome(
        Verdict(state=state, reason=text if text.endswith((".", "…")) else f"{text}.", execution_provider=provider)
    )


class _Judge:
    """Reads a verdict off what the process said, and off how it ended."""

    def __init__(self, trial: Trial, ended: Ended, names: Sequence[str]) -> None:
        self._trial = trial
        self._ended = ended
        self._names = names

    def outcome(self) -> Outcome:
        ended = self._ended
        if ended.first("started") is None:
            reason = "it took too long" if ended.timed_out else ended.without_an_answer
            return not_checked(f"ONNX Runtime could not be started here: {self._plain(reason)}")
        missing = ended.first("missing")
        if missing is not None:
            return not_checked(f"this worker has no {', '.join(missing['missing'])}, which the model needs")
        loaded = ended.first("loaded")
        if loaded is None:
            return self._not_loaded()
        at_work = list(loaded["loaded"])
        on = self._trial.provider if self._trial.provider in at_work else CPU
        done = self._run(on) if self._trial.run else Outcome(_passed(on, ran=False))
        return done if on == self._trial.provider else self._on_another(done)

    def _not_loaded(self) -> Outcome:
        trial, ended = self._trial, self._ended
        refused = ended.first("not_loaded")
        on = str(refused["on"]) if refused is not None else self._would_be_on()
        error = self._plain(str(refused["not_loaded"]) if refused is not None else ended.without_an_answer)
        gave = f"it does not load on {on}: {error}"
        if ended.timed_out:
            return inconclusive(f"it did not load within {trial.seconds:.0f} seconds", on)
        if ended.signal in _KILLED:
            return inconclusive(
                f"the process that loaded it was ended with {ended.signal}, for want of memory it seems", on
            )
        if _NO_MEMORY.search(error) or (refused is None and _NO_MEMORY.search(ended.errors)):
            return inconclusive(f"loading it takes more memory than a trial gets: {error}", on)
        if on != trial.provider:
            return inconclusive(f"this worker has no {trial.provider}, and without that {gave}", on)
        if _NEWER.search(error):
            return inconclusive(f"it is made for a newer ONNX Runtime than this worker's: {error}", on)
        if on != CPU and _NO_DEVICE.search(error):
            return inconclusive(f"this worker's {on} has no device: {error}", on)
        if trial.settings.dropped:
            return inconclusive(f"{self._without()}{gave}", on)
        return _said(CheckState.FAILED, gave, on)

    def _would_be_on(self) -> str:
        started = self._ended.first("started") or {"started": []}
        return self._trial.provider if self._trial.provider in started["started"] else CPU

    def _run(self, on: str) -> Outcome:
        ended = self._ended
        ran = ended.first("ran")
        if ran is not None:
            return Outcome(_passed(on, ran=True), {name: tuple(shape) for name, shape in ran["ran"].items()})
        if ended.timed_out:
            return inconclusive(f"it loads, and did not run within {self._trial.seconds:.0f} seconds", on)
        refused = ended.first("not_run")
        error = self._plain(str(refused["not_run"]) if refused is not None else ended.without_an_answer)
        return inconclusive(f"it loads, but no input that can be generated for it runs: {error}", on)

    def _on_another(self, done: Outcome) -> Outcome:
        missing = f"this worker has no {self._trial.provider} at work"
        if done.verdict.state is not CheckState.PASSED:
            return inconclusive(f"{missing}; on {CPU}, {done.verdict.reason}", CPU)
        did = "loads and runs" if done.verdict.ran else "loads"
        verdict = inconclusive(f"{missing}; on {CPU} it {did}", CPU).verdict
        return Outcome(verdict.model_copy(update={"ran": done.verdict.ran}), done.shapes)

    def _without(self) -> str:
        return f"without its settings {', '.join(self._trial.settings.dropped)}, which a trial leaves out, "

    def _plain(self, text: str) -> str:
        """Without the names of this machine."""
        for name in self._names:
            text = text.replace(f"{name}/", "").replace(name, "the model's file")
        return text


def _passed(on: str, *, ran: bool) -> Verdict:
    return Verdict(state=CheckState.PASSED, execution_provider=on, ran=ran)


def _provider(name: str) -> str:
    """An execution provider as ONNX Runtime names it."""
    return EXECUTION_PROVIDERS.get(name.lower().removesuffix(_SUFFIX.lower()), name)
