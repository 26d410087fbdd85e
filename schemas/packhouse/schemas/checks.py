"""What was seen when a model was tried before it was packaged."""

from __future__ import annotations

from enum import StrEnum

from packhouse.schemas.accelerator import Accelerator
from packhouse.schemas.base import Document


class CheckState(StrEnum):
    """How the trial of a model ended."""

    PASSED = "passed"
    """It did all that was asked of it: it loaded, or loaded and ran."""
    FAILED = "failed"
    """It does not load on an execution provider that the worker has."""
    INCONCLUSIVE = "inconclusive"
    """It was tried, and what was seen says neither: the reason tells what."""
    NOT_CHECKED = "not_checked"
    """It was not tried: the reason tells why."""


class Verdict(Document):
    """What came of trying a model."""

    state: CheckState
    reason: str | None = None
    """In a sentence, for people; none where it passed."""
    execution_provider: str | None = None
    """What it was loaded on."""
    ran: bool = False
    """Whether it was run on generated inputs, as against only loaded."""


class ModelCheck(Document):
    """The verdict on one candidate."""

    rank: int
    """Place across all accelerators."""
    accelerator: Accelerator
    rank_in_accelerator: int
    model_id: str
    verdict: Verdict
