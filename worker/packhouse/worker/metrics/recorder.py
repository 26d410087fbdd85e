"""What the processes of a worker did, counted where it happens.

All processes of a worker write into files of one folder that its main process reads at a scrape: the multiprocess mode
of prometheus_client. Where metrics are off, the library is not even imported.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

from packhouse.worker.identity import Identity, is_alive
from packhouse.worker.tracing import Span
from packhouse.worker.vitals import heard_of, is_old, make_run_dir, run_dir

_SUFFIX: Final = ".metrics"
_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


class Recorder:
    """Counts nothing: metrics are off. ``on`` gives one that counts."""

    folder: Path | None = None
    """Where the counts of all processes lie."""

    def event(self, outcome: str) -> None:
        """An entry of the run queue: ``opened``, ``duplicate``, ``reused`` or ``invalid``."""

    def package(self, kind: str, state: str, seconds: float) -> None:
        """A package was settled, so many seconds after its first start."""

    def retry(self, kind: str, code: str) -> None:
        """A package, or the ranking of a run (``rank``), will be tried again after this error."""

    def cache(self, cache: str, *, hit: bool) -> None:
        """Something was asked of a cache."""

    def stages(self, kind: str, span: Span) -> Stages:
        """A watch over the stages of one package, each a part of the span."""
        return Stages(self, kind, span)

    def stage(self, kind: str, stage: str, seconds: float, done: int) -> None:
        """A stage has ended, with so many bytes done."""

    @contextlib.contextmanager
    def busy(self) -> Generator[None, None, None]:
        """A process of the pool is at work on a job."""
        yield

    def slots(self, count: int) -> None:
        """How many processes the pool has."""


class Stages:
    """The stages of one package, one after the other."""

    def __init__(self, recorder: Recorder, kind: str, span: Span) -> None:
        self._recorder = recorder
        self._span = span
        self._part = contextlib.ExitStack()
        self._kind = kind
        self._stage = ""
        self._began = time.monotonic()
        self._bytes = 0

    def begin(self, stage: str) -> None:
        """The last stage has ended and another begins."""
        self.end()
        self._stage, self._began, self._bytes = stage, time.monotonic(), 0
        self._part.enter_context(self._span.part(stage))

    def advance(self, count: int) -> None:
        """So many bytes more are done."""
        self._bytes += count

    def end(self) -> None:
        """The last stage has ended."""
        if self._stage:
            self._recorder.stage(self._kind, self._stage, time.monotonic() - self._began, self._bytes)
            self._part.close()
        self._stage = ""


class _Counting(Recorder):
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        os.environ[_VARIABLE] = str(folder)
        # The library looks at the variable when it is imported, and Celery's commands may have imported it before us.
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, values

        values.ValueClass = values.get_value_class()
        registry = CollectorRegistry()
        known: dict[str, Any] = {"registry": registry}
        self._events = Counter("packhouse_events", "Entries of the run queue taken in.", ["outcome"], **known)
        self._packages = Histogram(
            "packhouse_package_seconds", "From the first start of a package to its end.", ["type", "state"],
            buckets=_SECONDS, **known,
        )  # fmt: skip
        self._stages = Histogram(
            "packhouse_stage_seconds", "How long a stage of packaging took.", ["type", "stage"],
            buckets=_SECONDS, **known,
        )  # fmt: skip
        self._bytes = Counter("packhouse_stage_bytes", "Bytes that a stage went through.", ["type", "stage"], **known)
        self._retries = Counter(
            "packhouse_retries", "Transient errors, by the job they met.", ["type", "code"], **known
        )
        self._cache = Counter("packhouse_cache_requests", "Questions to a cache.", ["cache", "result"], **known)
        self._busy = Gauge(
            "packhouse_busy_slots", "Pool processes at work on a job.", multiprocess_mode="livesum", **known
        )
        self._slots = Gauge("packhouse_slots", "Processes of the pool.", multiprocess_mode="livesum", **known)

    def event(self, outcome: str) -> None:
        self._events.labels(outcome).inc()

    def package(self, kind: str, state: str, seconds: float) -> None:
        self._packages.labels(kind, state).observe(seconds)

    def retry(self, kind: str, code: str) -> None:
        self._retries.labels(kind, code).inc()

    def cache(self, cache: str, *, hit: bool) -> None:
        self._cache.labels(cache, "hit" if hit else "miss").inc()

    def stage(self, kind: str, stage: str, seconds: float, done: int) -> None:
        self._stages.labels(kind, stage).observe(seconds)
        if done:
            self._bytes.labels(kind, stage).inc(done)

    @contextlib.contextmanager
    def busy(self) -> Generator[None, None, None]:
        self._busy.inc()
        try:
            yield
        finally:
            self._busy.dec()

    def slots(self, count: int) -> None:
        self._slots.set(count)


_recorder: list[Recorder] = [Recorder()]


def recorder() -> Recorder:
    """That of this worker; one that counts nothing where metrics are off."""
    return _recorder[0]


def count_in(told: str | None, identity: Identity) -> Recorder:
    """From now on the processes of this worker are counted, in a folder of the run directory. Raises ``OSError``.

    To be called in the main process, before it forks. Folders of workers that are gone are removed.
    """
    folder = run_dir(told)
    make_run_dir(folder, identity)
    elsewhere = heard_of(folder)
    for old in folder.glob(f"*{_SUFFIX}"):
        place, _, main = old.name.removesuffix(_SUFFIX).partition("-")
        here = place == identity.place
        with contextlib.suppress(OSError):
            if not is_alive(main) if here else (place, main) not in elsewhere and is_old(old):
                shutil.rmtree(old, ignore_errors=True)
    own = folder / f"{identity.place}-{identity.main}{_SUFFIX}"
    own.mkdir(mode=0o700)
    _recorder[:] = [_Counting(own)]
    return recorder()
