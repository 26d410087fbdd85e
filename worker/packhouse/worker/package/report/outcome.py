"""The outcome of a run in a sentence or two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from packhouse.schemas.checks import CheckState, Verdict
from packhouse.schemas.ranking import Objective, RankedCandidate, Ranking
from packhouse.worker.package.report import shown
from packhouse.worker.package.report.shown import Words

CHECKS: Final = {
    CheckState.PASSED: "passed",
    CheckState.FAILED: "failed",
    CheckState.INCONCLUSIVE: "inconclusive",
    CheckState.NOT_CHECKED: "not checked",
}


def why(ranking: Ranking, words: Words) -> str:
    """Why the first candidate stands before the second: what follows on "… won:". Objectives are told by name."""
    first, *others = ranking.candidates
    if not others:
        return "it is the only candidate."
    if not ranking.objectives:
        return "the run has no objectives, so candidates keep the engine's order, and it is the first of it."
    equal: list[str] = []
    for objective in ranking.objectives:
        here, there = _value(first, objective), _value(others[0], objective)
        if here != there:
            return _decided(objective, here, there, equal, len(ranking.candidates), words)
        equal.append(words.name(objective.name, 60))
    return "it equals number 2 on every objective, and the engine listed it before."


def tried(found: Verdict | None, words: Words) -> str | None:
    """What was done with a model to come to the verdict, and why it is that; None where there is nothing to tell."""
    if found is None:
        return None
    provider = (found.execution_provider or "").removesuffix("ExecutionProvider")
    where = f" on {words.name(provider, 60)}" if provider else ""
    done = f"loaded and run{where}" if found.ran else f"loaded{where}" if found.state is CheckState.PASSED else ""
    reason = words.sentence(found.reason, 240) if found.reason else ""
    return " · ".join(part for part in (done, reason) if part) or None


def _decided(
    objective: Objective,
    here: int | float | None,  # noqa: PYI041 (integers keep every digit)
    there: int | float | None,  # noqa: PYI041
    equal: Sequence[str],
    count: int,
    words: Words,
) -> str:
    name = words.name(objective.name, 60)
    superlative, comparative = ("highest", "higher") if objective.higher_is_better else ("lowest", "lower")
    ours, theirs = shown.pair(here, there)
    other = f"against {theirs}" if there is not None else "where number 2 has no value"
    if not equal:
        of = " of number 2" if there is not None else ""
        return f"it has the {superlative} {name} of all {count} candidates, {ours} {other}{of}."
    names = " and ".join(equal[:3]) + (" and others" if len(equal) > 3 else "")  # noqa: PLR2004
    return f"it equals number 2 in {names}, and has the {comparative} {name}, {ours} {other}."


def _value(candidate: RankedCandidate, objective: Objective) -> int | float | None:
    """The value that ranks: NaN counts as none, infinity as a value."""
    metric = (candidate.metrics or {}).get(objective.name)
    if metric is None or metric.value is None:
        return None
    return None if metric.value != metric.value else metric.value
