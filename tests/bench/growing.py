"""How a cost grows with one quantity, all else being equal."""

from __future__ import annotations

import gc
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.measure import Measured


@dataclass(frozen=True)
class Growth:
    """A cost at three or more sizes, taken several times."""

    sizes: Sequence[int]
    """Ascending."""
    turns: Sequence[Sequence[float]]
    """Of each turn the costs, one for each size, in the unit given."""
    unit: str
    figures: Mapping[str, float] = field(default_factory=dict[str, float])
    """What else was found, for programs."""

    @property
    def medians(self) -> list[float]:
        """Of each size, over the turns."""
        return [statistics.median(costs) for costs in zip(*self.turns, strict=True)]

    def linear(self) -> Measured:
        """The exponents with which what comes on top of the smallest size grows: 1 is linear, 2 quadratic."""
        return self._as_measured([exponent(self.sizes, costs) for costs in self.turns])

    def flat(self) -> Measured:
        """How many times the cost of the smallest size that of the largest is: 1 is independent of the quantity."""
        return self._as_measured([costs[-1] / costs[0] for costs in self.turns])

    def _as_measured(self, values: list[float]) -> Measured:
        told = ", ".join(f"{size:,}: {cost:.3g}" for size, cost in zip(self.sizes, self.medians, strict=True))
        figures = {f"at_{size}": cost for size, cost in zip(self.sizes, self.medians, strict=True)}
        return Measured(tuple(values), note=f"{self.unit} at {told}", figures=figures | dict(self.figures))


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """The exponent of the largest step against the one before, both counted from the smallest size.

    What is spent whatever the size is (a process, a template) drops out: ``a + b * size`` gives 1. A cost that does not
    grow gives 0.
    """
    (first, *_, before, last), (least, *_, less, most) = sizes, costs
    if most <= least:
        return 0.0
    # A step that drowned in noise cannot be divided by: it counts as a linear share of the largest one at most.
    step = max(less - least, (most - least) * ((before - first) / (last - first)) ** 2)
    return math.log((most - least) / step) / math.log((last - first) / (before - first))


def grown(sizes: Sequence[int], count: int, unit: str, cost: Callable[[int], float]) -> Growth:
    """Take the cost of every size, so many times, upwards and downwards in turns; once before, unmeasured."""
    for size in sizes:
        cost(size)
    turns: list[list[float]] = []
    for turn in range(count):
        found: dict[int, float] = {}
        for size in sizes[:: 1 if turn % 2 else -1]:
            gc.collect()
            found[size] = cost(size)
        turns.append([found[size] for size in sizes])
    return Growth(sizes, turns, unit)
