"""What stands on the page, as plain text and numbers: what was hostile has been made visible, shortened, bounded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from packhouse.schemas.checks import CheckState, ModelCheck
from packhouse.schemas.events import FinishedRun
from packhouse.schemas.files import Unavailable
from packhouse.schemas.footprint import Metrics
from packhouse.schemas.ranking import LeftOut, LeftOutReason, Objective, Ranking
from packhouse.worker.package.candidate import Candidate, CandidateFolder
from packhouse.worker.package.report import shown
from packhouse.worker.package.report.deltas import Measure, measure
from packhouse.worker.package.report.outcome import CHECKS, tried
from packhouse.worker.package.report.points import CANDIDATES_SHOWN
from packhouse.worker.package.report.shown import Words
from packhouse.worker.package.tree import Entry, Made

OBJECTIVES_SHOWN: Final = 12
_LEFT_OUT_NAMED: Final = 60
"""Of each reason."""
_MISSING_SHOWN: Final = 100

_GROUPS: Final = {
    LeftOutReason.INPUT_MODEL: "The model that the run began with",
    LeftOutReason.NOT_MARKED: "Not among the models that the engine put out",
    LeftOutReason.INTERMEDIATE: "A step on the way to another model",
    LeftOutReason.PRUNED: "Pruned by the engine",
    LeftOutReason.NO_MODEL: "Without a model",
    LeftOutReason.BEYOND_TOP: "Beyond the limit of candidates for each accelerator",
}


@dataclass(frozen=True)
class Row:
    """A candidate in the table."""

    rank: int
    model: str
    accelerator: str
    at: int
    """Index of the accelerator."""
    values: list[Measure]
    """As many as there are objectives in the table."""
    goals: str
    size: str
    check: str
    check_state: str
    check_note: str | None
    reason: str


@dataclass(frozen=True)
class LeftOutGroup:
    """Nodes that were left out for one reason."""

    title: str
    count: int
    names: list[tuple[str, str]]
    """Model and accelerator of the first of them."""


@dataclass(frozen=True)
class Missing:
    """Something that could not be had."""

    what: str
    reason: str


def rows(
    folders: Sequence[CandidateFolder],
    candidates: Sequence[Candidate],
    objectives: Sequence[Objective],
    checks: Sequence[ModelCheck],
    accelerators: Sequence[str],
    words: Words,
) -> list[Row]:
    """The table, best first."""
    verdicts = {check.rank: check.verdict for check in checks}
    made: list[Row] = []
    for folder, candidate in list(zip(folders, candidates, strict=True))[:CANDIDATES_SHOWN]:
        ranked = candidate.ranked
        found = verdicts.get(ranked.rank)
        state = found.state if found else CheckState.NOT_CHECKED
        before, here = input_metrics(candidate) or {}, ranked.metrics or {}
        made.append(
            Row(
                rank=ranked.rank,
                model=words.name(ranked.model_id, 60),
                accelerator=str(ranked.accelerator),
                at=accelerators.index(str(ranked.accelerator)),
                values=[
                    measure(
                        words.name(each.name, 60),
                        here.get(each.name),
                        before.get(each.name),
                        higher_is_better=each.higher_is_better,
                    )
                    for each in objectives
                ],
                goals={True: "met", False: "not met", None: "none set"}[ranked.goals_met],
                size=shown.size(model_size(folder, candidate)),
                check=CHECKS[state],
                check_state=state,
                check_note=tried(found, words),
                reason=words.sentence(ranked.reason, 300),
            )
        )
    return made


def input_metrics(candidate: Candidate) -> Metrics | None:
    """What the model that the candidate came from was measured with, on the candidate's accelerator."""
    first = candidate.lineage[0]
    return first.metrics if first.is_input else None


def model_size(folder: CandidateFolder, candidate: Candidate) -> int:
    """Bytes of the model's own files."""
    base = f"{folder.prefix}/" if folder.prefix else ""
    return sum(entry_size(folder.entries[base + path]) for path in candidate.source.paths)


def entry_size(entry: Entry) -> int:
    """Bytes of a file of the package."""
    return len(entry.data) if isinstance(entry, Made) else entry.size


def left_out_groups(left_out: Sequence[LeftOut], words: Words) -> list[LeftOutGroup]:
    """What is not packaged, by reason; of each, the first by name."""
    groups: Mapping[LeftOutReason, list[LeftOut]] = defaultdict(list)
    for each in left_out:
        groups[each.reason].append(each)
    return [
        LeftOutGroup(
            title=title,
            count=len(groups[reason]),
            names=[(words.name(each.model_id, 60), str(each.accelerator)) for each in groups[reason][:_LEFT_OUT_NAMED]],
        )
        for reason, title in _GROUPS.items()
        if groups.get(reason)
    ]


def missing(unavailable: Sequence[Unavailable], words: Words) -> list[Missing]:
    """What belongs into the package and is not there. Beyond a hundred they are counted."""
    told = [
        Missing(words.sentence(each.what, 120), words.sentence(each.reason, 400))
        for each in unavailable[:_MISSING_SHOWN]
    ]
    if len(unavailable) > _MISSING_SHOWN:
        rest = len(unavailable) - _MISSING_SHOWN
        told.append(Missing(f"{rest} more", "The manifest of the package, manifest.json, tells them all."))
    return told


def times(event: FinishedRun) -> list[str] | None:
    """When the first node began and the last one ended, as the engine wrote it; None where it did not."""
    nodes = [node for footprint in event.footprints for node in footprint.nodes]
    begun = [node.start_time for node in nodes if node.start_time and shown.moment(node.start_time)]
    ended = [node.end_time for node in nodes if node.end_time and shown.moment(node.end_time)]
    if not begun or not ended:
        return None
    first, last = shown.moment(min(begun)) or "", shown.moment(max(ended)) or ""
    day, _, hour = first.partition(" ")
    same, _, until = last.partition(" ")
    return [day, f"{hour} to {until} UTC"] if day == same else [f"{first} UTC", f"to {last} UTC"]


def counts(event: FinishedRun, ranking: Ranking) -> tuple[int, int]:
    """Models that the engine tried, and those of them that it measured; the input models aside."""
    tried = [node for footprint in event.footprints for node in footprint.nodes if not node.is_input]
    named = [objective.name for objective in ranking.objectives]
    return len(tried), sum(1 for node in tried if any(name in node.measured for name in named))
