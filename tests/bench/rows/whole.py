"""Packaging as a whole by a real worker, from publishing a run to its final status, against copying its files."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from dataclasses import replace

from bench.copying import copied
from bench.data import onnx_models
from bench.measure import Measured, Usage
from bench.registry import Bench, at_most, row
from bench.working import Zipping, working

CANDIDATES = 4


@contextlib.contextmanager
def zipping(bench: Bench, fsync: str) -> Generator[Zipping]:
    models = bench.folder / "weights"
    models.mkdir(parents=True)
    made = onnx_models(models, CANDIDATES, bench.mib // CANDIDATES)
    with working(bench, PACKHOUSE_FSYNC=fsync) as worker:
        yield Zipping(worker, made)


def against_cp(bench: Bench, *, first: bool) -> Measured:
    with zipping(bench, "never") as one:

        def ours() -> Usage:
            if first:
                one.worker.forget()
            return one.once()

        return bench.pairs.compare(ours, lambda: copied(bench.folder / "copies", one.models), note="no fsync in either")


@row(
    "worker-first",
    "a ZIP by a worker at first sight, from publishing the run to its final status, against cp of the files",
    target=at_most(2.7, "times cp"),
)
def at_first_sight(bench: Bench) -> Measured:
    return against_cp(bench, first=True)


@row("worker-known", "the same, digests known", target=at_most(1.3, "times cp"), limit="1.0")
def digests_known(bench: Bench) -> Measured:
    return against_cp(bench, first=False)


@row("worker-fsync", "the same with PACKHOUSE_FSYNC=always, which is the default, against never")
def flushed(bench: Bench) -> Measured:
    other = replace(bench, folder=bench.folder / "never")
    with zipping(bench, "always") as one, zipping(other, "never") as never:
        return bench.pairs.compare(one.once, never.once)
