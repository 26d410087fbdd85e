"""The rows of the table: each a comparison with something else on the same machine in the same run."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import bench.rows
from bench.measure import Measured, Pairs


@dataclass(frozen=True)
class Target:
    """What a row is to reach, in the unit that its values have."""

    least: Literal["≤", "≥"]
    value: float
    unit: str = ""

    def met(self, value: float) -> bool:
        return value <= self.value if self.least == "≤" else value >= self.value

    def __str__(self) -> str:
        return f"{self.least} {self.value:g} {self.unit}".rstrip()


def at_most(value: float, unit: str = "") -> Target:
    return Target("≤", value, unit)


def at_least(value: float, unit: str = "") -> Target:
    return Target("≥", value, unit)


@dataclass(frozen=True)
class Bench:
    """What a row is given."""

    folder: Path
    """Empty, the row's own, removed after it."""
    mib: int
    """Size of the weights, where a row has any."""
    count: int
    """Pairs to measure."""
    slow: int = 3
    """Pairs where the other takes minutes: at most so many."""

    @property
    def pairs(self) -> Pairs:
        return Pairs(self.count)

    @property
    def few(self) -> Pairs:
        return Pairs(min(self.count, self.slow))


class NotHere(Exception):
    """What the row compares with cannot be had on this machine; the message says what is missing."""


@dataclass(frozen=True)
class Row:
    name: str
    what: str
    """Ours, against what: one line."""
    target: Target | None
    """None where the row informs, and nothing is asked of it."""
    limit: str
    """The best that could be, where that is known."""
    measure: Callable[[Bench], Measured]


_rows: dict[str, Row] = {}


def row(
    name: str, what: str, *, target: Target | None = None, limit: str = ""
) -> Callable[[Callable[[Bench], Measured]], Callable[[Bench], Measured]]:
    """Make a function a row of the table."""

    def add(measure: Callable[[Bench], Measured]) -> Callable[[Bench], Measured]:
        if name in _rows:
            raise ValueError(f"{name} is a row already")
        _rows[name] = Row(name, what, target, limit, measure)
        return measure

    return add


def rows() -> dict[str, Row]:
    """All rows by their names, in the order of their modules."""
    for module in sorted(found.name for found in pkgutil.iter_modules(bench.rows.__path__)):
        importlib.import_module(f"bench.rows.{module}")
    return dict(_rows)
