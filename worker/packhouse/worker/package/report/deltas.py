"""How a measured value stands to another one: how far it is from it, and whether that is better."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from packhouse.schemas.footprint import Metric, Metrics
from packhouse.worker.package.report import shown
from packhouse.worker.package.report.shown import Words

_PERCENT: Final = 100
_MOST_PERCENT: Final = 900
"""A value that grew by more than this is told as a multiple."""


@dataclass(frozen=True)
class Delta:
    """The difference to the input model."""

    text: str
    """In per cent, as a multiple, or ``same``."""
    word: str
    """``better``, ``worse``, or nothing."""


@dataclass(frozen=True)
class Measure:
    """A metric of one model, as it is told."""

    name: str
    direction: str
    value: str
    input: str
    delta: Delta | None
    """None where one of the two has no finite value."""


def measure(name: str, metric: Metric | None, before: Metric | None, *, higher_is_better: bool) -> Measure:
    """A metric beside that of the input model; either may be missing."""
    value, base = metric.value if metric else None, before.value if before else None
    return Measure(
        name=name,
        direction="higher is better" if higher_is_better else "lower is better",
        value=shown.number(value),
        input=shown.number(base),
        delta=delta(shown.exact(value), shown.exact(base), higher_is_better=higher_is_better),
    )


def measures(metrics: Metrics | None, before: Metrics | None, words: Words) -> list[Measure]:
    """Every metric of a model, objectives first, in the order of their priorities."""
    found = sorted((metrics or {}).items(), key=lambda item: (item[1].priority < 1, item[1].priority, item[0]))
    known = before or {}
    return [
        measure(words.name(name, 60), each, known.get(name), higher_is_better=each.higher_is_better)
        for name, each in found
    ]


def delta(value: Fraction | None, base: Fraction | None, *, higher_is_better: bool) -> Delta | None:
    """The difference between two values, in per cent of ``base`` where that is not zero."""
    if value is None or base is None:
        return None
    if value == base:
        return Delta("same", "")
    word = "better" if (value > base) == higher_is_better else "worse"
    sign = "+" if value > base else shown.MINUS
    if not base:
        return Delta(sign + shown.number(_float(abs(value))), word)
    percent = abs((value - base) / base) * _PERCENT
    if value / base > _MOST_PERCENT / _PERCENT:
        return Delta(f"{shown.TIMES} {shown.number(_three(value / base))}", word)
    return Delta(f"{sign}{shown.number(_three(percent))} %", word)


def _three(value: Fraction) -> float:
    """Three digits that count are enough for a comparison."""
    return float(f"{_float(value):.3g}")


def _float(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf")
