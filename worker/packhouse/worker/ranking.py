"""The order of a run's candidates. Pure: the same event always ranks the same.

Objectives are compared in the order of their priorities; equal values go to the next objective; equal on all keeps the
order of the event. A value that is missing or NaN stands behind every value there is.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from operator import itemgetter
from typing import Final, TypeVar

from packhouse.schemas.accelerator import Accelerator
from packhouse.schemas.base import uncollected
from packhouse.schemas.events import FinishedRun
from packhouse.schemas.footprint import Metrics, Node
from packhouse.schemas.ranking import (
    LeftOut,
    LeftOutReason,
    Objective,
    RankedCandidate,
    Ranking,
    RankingCounts,
    counts_of,
)
from packhouse.schemas.selection import select

_Key = tuple[int | float, ...]
_Placed = tuple[_Key, Node, Accelerator, str, int]
"""A candidate, its accelerator and that one's name, and its place there, from 1."""
_LeftOut = tuple[Node, Accelerator, str, LeftOutReason, int]
"""A node that is none, the same two, and where it stands there if a limit is the reason."""

_Told = TypeVar("_Told", RankedCandidate, LeftOut)
_TOLD: Final = 100
_TOLD_BYTES: Final = 2**18

_MESSAGES = {
    LeftOutReason.INPUT_MODEL: "is the model that the run began with",
    LeftOutReason.NOT_MARKED: "is not among the models that the engine put out",
    LeftOutReason.INTERMEDIATE: "is a step on the way to another model",
    LeftOutReason.PRUNED: "was pruned by the engine",
    LeftOutReason.NO_MODEL: "has no model",
}


@dataclass(frozen=True)
class Order:
    """Where every node of a run stands. The documents that tell it are made as they are asked for."""

    objectives: list[Objective]
    _placed: list[_Placed]
    _left_out: list[_LeftOut]
    _top: int | None

    def __len__(self) -> int:
        """How many are candidates."""
        return len(self._placed)

    def accelerators(self) -> list[str]:
        """Those that have candidates, that of the best first."""
        return list(dict.fromkeys(name for _, _, _, name, _ in self._placed))

    def counts(self) -> RankingCounts:
        """How many nodes are candidates, and how many are left out for which reason."""
        return counts_of(len(self), ((name, reason) for _, _, name, reason, _ in self._left_out))

    def candidates(self) -> Iterator[RankedCandidate]:
        """The candidates, best first."""
        reasons = _Reasons(self.objectives)
        before: _Key | None = None
        for rank, (key, node, accelerator, _, place) in enumerate(self._placed, 1):
            yield RankedCandidate(
                rank=rank,
                rank_in_accelerator=place,
                accelerator=accelerator,
                model_id=node.model_id,
                reason=reasons.of(key, before),
                metrics=node.metrics,
                goals_met=node.goals_met,
            )
            before = key

    def left_out(self) -> Iterator[LeftOut]:
        """The others in the engine's order, and then those beyond the limit, best first."""
        for node, accelerator, name, reason, place in self._left_out:
            message = _MESSAGES.get(reason) or f"is number {place} of {name}, and the limit (top) is {self._top}"
            yield LeftOut(accelerator=accelerator, model_id=node.model_id, reason=reason, message=f"{message}.")

    def told(self) -> Ranking:
        """Every node, as a package tells it."""
        with uncollected():
            return self._ranking(list(self.candidates()), list(self.left_out()))

    def beginning(self) -> Ranking:
        """What a status tells: the first 100 candidates and the first 100 others, of each at most 256 KiB, and counts.

        However many nodes a run has, its events and its record in the ledger stay small.
        """
        return self._ranking(_first(self.candidates()), _first(self.left_out()))

    def _ranking(self, candidates: list[RankedCandidate], left_out: list[LeftOut]) -> Ranking:
        return Ranking(objectives=self.objectives, candidates=candidates, left_out=left_out, counts=self.counts())


def rank(run: FinishedRun) -> Ranking:
    """Every node of the run, either with its place or with the reason why it has none."""
    return order_of(run).told()


def order_of(run: FinishedRun) -> Order:
    """Where every node of the run stands, before it is told in sentences."""
    with uncollected():
        objectives = find_objectives(run)
        candidates: list[tuple[_Key, Node, Accelerator, str]] = []
        left_out: list[_LeftOut] = []
        for footprint in run.footprints:
            accelerator, name = footprint.accelerator, str(footprint.accelerator)
            for node, reason in select(footprint):
                if reason is None:
                    candidates.append((sort_key(node.measured, objectives), node, accelerator, name))
                else:
                    left_out.append((node, accelerator, name, reason, 0))
        candidates.sort(key=itemgetter(0))

        placed: list[_Placed] = []
        places: dict[str, int] = defaultdict(int)
        for key, node, accelerator, name in candidates:
            place = places[name] = places[name] + 1
            if run.top is None or place <= run.top:
                placed.append((key, node, accelerator, name, place))
            else:
                left_out.append((node, accelerator, name, LeftOutReason.BEYOND_TOP, place))
        return Order(objectives, placed, left_out, run.top)


def find_objectives(run: FinishedRun) -> list[Objective]:
    """The metrics with a priority of 1 or above, the weightiest first; equal priorities by name."""
    found: dict[str, Objective] = {}
    for footprint in run.footprints:
        for node in footprint.nodes:
            for name, metric in node.measured.items():
                if name not in found and metric.priority >= 1:
                    found[name] = Objective(
                        name=name, priority=metric.priority, higher_is_better=metric.higher_is_better
                    )
    return sorted(found.values(), key=lambda objective: (objective.priority, objective.name))


def sort_key(metrics: Metrics, objectives: list[Objective]) -> _Key:
    """What candidates are sorted by, ascending: for each objective ``0, value``, or ``1, 0`` for no value."""
    key: list[int | float] = []
    for objective in objectives:
        value = _value(metrics, objective)
        if value is None:
            key += (1, 0)
        else:
            key += (0, -value if objective.higher_is_better else value)
    return tuple(key)


def _value(metrics: Metrics, objective: Objective) -> int | float | None:
    metric = metrics.get(objective.name)
    if metric is None or metric.value is None:
        return None
    # An integer may be larger than any float, and math.isnan makes a float of it.
    if isinstance(metric.value, float) and math.isnan(metric.value):
        return None
    return metric.value


def _first(documents: Iterator[_Told]) -> list[_Told]:
    taken: list[_Told] = []
    room = _TOLD_BYTES
    for document in islice(documents, _TOLD):
        room -= len(document.model_dump_json().encode())
        if room < 0:
            break
        taken.append(document)
    return taken


class _Reasons:
    """Why candidates stand where they do, told from their keys alone."""

    def __init__(self, objectives: list[Objective]) -> None:
        self._objectives = objectives
        self._worse = [
            f"Behind the one before: {'lower' if objective.higher_is_better else 'higher'} {objective.name} ("
            for objective in objectives
        ]

    def of(self, key: _Key, before: _Key | None) -> str:
        """Why the candidate of a key stands behind that of the key before it, or first of all where there is none."""
        if not self._objectives:
            return "The run has no objectives: candidates keep the engine's order."
        if before is None:
            return f"{self._best()}{self._note(key)}"
        if key == before:
            return f"Equal to the one before on every objective: the engine's order decides.{self._note(key)}"
        at = 0
        while key[at] == before[at]:
            at += 1
        index = at // 2
        if key[2 * index]:
            return f"Behind the one before.{self._note(key)}"
        against = _against(self._value(key, index), self._value(before, index))
        return f"{self._worse[index]}{against}).{self._note(key)}"

    def _best(self) -> str:
        best, *others = self._objectives
        word = "highest" if best.higher_is_better else "lowest"
        then = ", then by the objectives after it" if others else ""
        return f"Best by {best.name} ({word} first){then}."

    def _value(self, key: _Key, index: int) -> int | float:
        value = key[2 * index + 1]
        return -value if self._objectives[index].higher_is_better else value

    def _note(self, key: _Key) -> str:
        """Which values a candidate lacks, in a sentence to follow another."""
        absent = key[::2]
        if 1 not in absent:
            return ""
        names = (objective.name for objective, none in zip(self._objectives, absent, strict=True) if none)
        return f" It has no value for {', '.join(names)}."


def _against(here: float, before: float) -> str:
    """Two values that differ, with as many digits as it takes to see it."""
    for digits in (6, 17, 400):
        one, other = _shown(here, digits), _shown(before, digits)
        if one != other:
            break
    return f"{one} against {other}"


def _shown(value: float, digits: int) -> str:
    # Not every integer fits into a float.
    return f"{value if isinstance(value, float) else Decimal(value):.{digits}g}"
