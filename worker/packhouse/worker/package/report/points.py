"""What a chart shows of a run: every measured node by its first two objectives, and which of them no other beats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Final

from packhouse.schemas.events import FinishedRun
from packhouse.schemas.ranking import Objective, Ranking
from packhouse.worker.package.report import shown
from packhouse.worker.package.report.shown import Words

CANDIDATES_SHOWN: Final = 200
"""Candidates that a page tells of one by one; more of them are counted."""


class Role(StrEnum):
    """What a node is to the reader of a chart."""

    CANDIDATE = "candidate"
    INPUT = "input"
    OTHER = "other"


@dataclass(frozen=True)
class Point:
    """A node with its values on the objectives of the chart, which are one or two. All of them are there and finite."""

    values: tuple[Fraction, ...]
    accelerator: int
    """Index among the footprints of the event."""
    role: Role
    title: str
    """What it is, and its values."""
    rank: int | None = None
    """Of a candidate."""


def points_of(event: FinishedRun, ranking: Ranking, objectives: Sequence[Objective], words: Words) -> list[Point]:
    """The nodes that have a finite value for each of the objectives, candidates in the order of their ranks, last."""
    ranks = {(str(each.accelerator), each.model_id): each.rank for each in ranking.candidates}
    found: list[Point] = []
    for at, footprint in enumerate(event.footprints):
        for node in footprint.nodes:
            raw = [node.measured[each.name].value if each.name in node.measured else None for each in objectives]
            values = tuple(value for each in raw if (value := shown.exact(each)) is not None)
            if len(values) < len(objectives):
                continue
            rank = ranks.get((str(footprint.accelerator), node.model_id))
            rank = rank if rank is not None and rank <= CANDIDATES_SHOWN else None
            role = Role.CANDIDATE if rank is not None else Role.INPUT if node.is_input else Role.OTHER
            said = ", ".join(
                f"{words.name(objective.name, 60)} {shown.number(value)}"
                for objective, value in zip(objectives, raw, strict=True)
            )
            what = {Role.CANDIDATE: f"Number {rank}, ", Role.INPUT: "Input model, ", Role.OTHER: ""}[role]
            title = f"{what}{words.name(node.model_id, 60)} on {footprint.accelerator}: {said}"
            found.append(Point(values, at, role, title, rank))
    return sorted(found, key=lambda point: point.rank or 0)


def frontier(points: Iterable[Point], objectives: Sequence[Objective]) -> list[Point]:
    """The points that no other beats on both objectives, best first by the second. Input models do not compete.

    Law: of any two points of it, each is the better one on one of the objectives.
    """
    first, second = (1 if each.higher_is_better else -1 for each in objectives)
    rivals = [point for point in points if point.role is not Role.INPUT]
    rivals.sort(key=lambda point: (-second * point.values[1], -first * point.values[0], point.rank or len(rivals)))
    best: list[Point] = []
    for point in rivals:
        if not best or first * point.values[0] > first * best[-1].values[0]:
            best.append(point)
    return best


def thinned(places: Sequence[tuple[float, float]], most: int) -> list[int]:
    """Indices of places that stand for all: of those that lie close together, the first. At most ``most`` of them.

    Close means: in one cell of a grid, as fine as it can be.
    """
    cell = 2.0
    kept = list(range(len(places)))
    while len(kept) > most:
        cells: dict[tuple[int, int], int] = {}
        for at, (x, y) in enumerate(places):
            cells.setdefault((int(x // cell), int(y // cell)), at)
        kept = sorted(cells.values())
        cell *= 1.5
    return kept
