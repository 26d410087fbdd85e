"""The order of a run's candidates. Pure: the same event always ranks the same.

Objectives are compared in the order of their priorities; equal values go to the next objective; equal on all keeps the
order of the event. A value that is missing or NaN stands behind every value there is.
"""

from __future__ import annotations

import math
from collections import defaultdict
from decimal import Decimal
from operator import itemgetter

from packhouse.schemas.accelerator import Accelerator
from packhouse.schemas.base import uncollected
from packhouse.schemas.events import FinishedRun
from packhouse.schemas.footprint import Metrics, Node
from packhouse.schemas.ranking import LeftOut, LeftOutReason, Objective, RankedCandidate, Ranking
from packhouse.schemas.selection import select

_Key = tuple[int | float, ...]
_Candidate = tuple[_Key, Accelerator, str, Node]

_MESSAGES = {
    LeftOutReason.INPUT_MODEL: "is the model that the run began with",
    LeftOutReason.NOT_MARKED: "is not among the models that the engine put out",
    LeftOutReason.INTERMEDIATE: "is a step on the way to another model",
    LeftOutReason.PRUNED: "was pruned by the engine",
    LeftOutReason.NO_MODEL: "has no model",
}


def rank(run: FinishedRun) -> Ranking:
    """Every node of the run, either with its place or with the reason why it has none."""
    with uncollected():
        return _rank(run)


def _rank(run: FinishedRun) -> Ranking:
    objectives = find_objectives(run)
    candidates: list[_Candidate] = []
    left_out: list[LeftOut] = []
    for footprint in run.footprints:
        accelerator, name = footprint.accelerator, str(footprint.accelerator)
        for node, reason in select(footprint):
            if reason is None:
                candidates.append((sort_key(node.measured, objectives), accelerator, name, node))
            else:
                left_out.append(_left_out(accelerator, node, reason, _MESSAGES[reason]))
    candidates.sort(key=itemgetter(0))

    ranked: list[RankedCandidate] = []
    places: dict[str, int] = defaultdict(int)
    before: tuple[_Key, Node] | None = None
    for key, accelerator, name, node in candidates:
        places[name] += 1
        place = places[name]
        if run.top is not None and place > run.top:
            message = f"is number {place} of {name}, and the limit (top) is {run.top}"
            left_out.append(_left_out(accelerator, node, LeftOutReason.BEYOND_TOP, message))
            continue
        ranked.append(
            RankedCandidate(
                rank=len(ranked) + 1,
                rank_in_accelerator=place,
                accelerator=accelerator,
                model_id=node.model_id,
                reason=_reason(before, key, node, objectives),
                metrics=node.metrics,
                goals_met=node.goals_met,
            )
        )
        before = key, node
    return Ranking(objectives=objectives, candidates=ranked, left_out=left_out)


def find_objectives(run: FinishedRun) -> list[Objective]:
    """The metrics with a priority of 1 or above, the weightiest first; equal priorities by name."""
    found: dict[str, Objective] = {}
    for footprint in run.footprints:
        for node in footprint.nodes:
            for name, metric in node.measured.items():
                if metric.priority >= 1 and name not in found:
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


def _against(here: float, before: float | None) -> str:
    """Two values that differ, with as many digits as it takes to see it."""
    for digits in (6, 17, 400):
        texts = [_shown(value, digits) for value in (here, before)]
        if texts[0] != texts[1]:
            break
    return " against ".join(texts)


def _shown(value: float | None, digits: int) -> str:
    if value is None:
        return "no value"
    # Not every integer fits into a float.
    return f"{value if isinstance(value, float) else Decimal(value):.{digits}g}"


def _left_out(accelerator: Accelerator, node: Node, reason: LeftOutReason, message: str) -> LeftOut:
    return LeftOut(accelerator=accelerator, model_id=node.model_id, reason=reason, message=f"{message}.")


def _reason(before: tuple[_Key, Node] | None, key: _Key, node: Node, objectives: list[Objective]) -> str:
    """Why a candidate stands behind the one before it."""
    missing = [objective.name for objective, absent in zip(objectives, key[::2], strict=True) if absent]
    note = f" It has no value for {', '.join(missing)}." if missing else ""
    if not objectives:
        return "The run has no objectives: candidates keep the engine's order."
    if before is None:
        best = objectives[0]
        word = "highest" if best.higher_is_better else "lowest"
        then = ", then by the objectives after it" if len(objectives) > 1 else ""
        return f"Best by {best.name} ({word} first){then}.{note}"
    key_before, previous = before
    for index, objective in enumerate(objectives):
        at = slice(2 * index, 2 * index + 2)
        if key_before[at] == key[at]:
            continue
        here = _value(node.measured, objective)
        if here is None:
            return f"Behind the one before.{note}"
        word = "lower" if objective.higher_is_better else "higher"
        against = _against(here, _value(previous.measured, objective))
        return f"Behind the one before: {word} {objective.name} ({against}).{note}"
    return f"Equal to the one before on every objective: the engine's order decides.{note}"
