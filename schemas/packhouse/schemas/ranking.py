"""The ranking of a run as a document: what is packaged in which order and why, and what is left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum

from packhouse.schemas.accelerator import Accelerator
from packhouse.schemas.base import Document
from packhouse.schemas.footprint import Metrics


class Objective(Document):
    """A metric that decides ranks."""

    name: str
    priority: int
    higher_is_better: bool


class RankedCandidate(Document):
    """A model that is packaged, with its place."""

    rank: int
    """Place across all accelerators, from 1."""
    rank_in_accelerator: int
    """Place among the candidates of its accelerator, from 1."""
    accelerator: Accelerator
    model_id: str
    reason: str
    """Why it stands here: the objective that set it behind the candidate before it."""
    metrics: Metrics | None = None
    goals_met: bool | None = None


class LeftOutReason(StrEnum):
    """Why a node is not a candidate."""

    INPUT_MODEL = "input_model"
    NOT_MARKED = "not_marked"
    INTERMEDIATE = "intermediate"
    PRUNED = "pruned"
    NO_MODEL = "no_model"
    BEYOND_TOP = "beyond_top"


class LeftOut(Document):
    """A node that is not packaged."""

    accelerator: Accelerator
    model_id: str
    reason: LeftOutReason
    message: str


class LeftOutCount(Document):
    """How many nodes of an accelerator are not packaged for one reason."""

    accelerator: Accelerator
    reason: LeftOutReason
    count: int


class RankingCounts(Document):
    """How many nodes there are in all, where the lists beside it may name only the first of them."""

    candidates: int
    left_out: list[LeftOutCount] = []

    @property
    def left_out_in_all(self) -> int:
        """Those left out, whatever the reason."""
        return sum(each.count for each in self.left_out)


class Ranked(Document):
    """The nodes of a run, each either ranked or left out. A status names the first of very many, and counts all."""

    candidates: list[RankedCandidate] = []
    """The best first."""
    left_out: list[LeftOut] = []
    counts: RankingCounts | None = None
    """None from a worker that names all of them, and where a run failed before its ranking."""

    def counted(self) -> RankingCounts:
        """How many nodes there are, named or not."""
        if self.counts is not None:
            return self.counts
        return counts_of(len(self.candidates), ((str(each.accelerator), each.reason) for each in self.left_out))


class Ranking(Ranked):
    """All nodes of a run, by the objectives that decided."""

    objectives: list[Objective] = []


def counts_of(candidates: int, left_out: Iterable[tuple[str, LeftOutReason]]) -> RankingCounts:
    """The counts of so many candidates and of the others, given by the name of their accelerator and the reason."""
    return RankingCounts(
        candidates=candidates,
        left_out=[
            LeftOutCount(accelerator=Accelerator.parse(name), reason=reason, count=count)
            for (name, reason), count in Counter(left_out).items()
        ],
    )
