"""The ranking of a run as a document: what is packaged in which order and why, and what is left out and why."""

from __future__ import annotations

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


class Ranking(Document):
    """All nodes of a run, each either ranked or left out."""

    objectives: list[Objective] = []
    candidates: list[RankedCandidate] = []
    left_out: list[LeftOut] = []
