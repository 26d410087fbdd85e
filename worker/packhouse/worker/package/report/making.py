"""How a candidate came to be: its lineage with the settings of each pass, how to open it, and its files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import escape

from packhouse.schemas.files import INFERENCE_CONFIG
from packhouse.schemas.footprint import Node
from packhouse.worker.package.candidate import Candidate, CandidateFolder
from packhouse.worker.package.report import shown
from packhouse.worker.package.report.content import entry_size, input_metrics, model_size
from packhouse.worker.package.report.deltas import Measure, measures
from packhouse.worker.package.report.shown import Words
from packhouse.worker.package.tree import Made

MADE_SHOWN: Final = 50
"""Candidates whose making is told; that of the others is in their folders."""
_STEPS: Final = 24
_FILES: Final = 20
_METRICS: Final = 30
_CONFIG: Final = 4000
_NAMES: Final = 40
_ALL_CONFIGS: Final = 600_000
"""Bytes of HTML that the settings of all candidates may take together."""
_ELSEWHERE: Final = "Too long for this page: it is in the candidate's folder."


@dataclass(frozen=True)
class Step:
    """A model of a lineage."""

    title: str
    """The pass that made it."""
    model: str
    took: str | None
    settings: str | None
    """What the pass was told, as JSON without what it left open; None where it was told nothing."""
    unset: str
    """Names of what it left open."""


@dataclass(frozen=True)
class File:
    """A file of a candidate's folder."""

    path: str
    size: str


@dataclass(frozen=True)
class Making:
    """A candidate in detail."""

    rank: int
    model: str
    accelerator: str
    at: int
    folder: str
    steps: list[Step]
    skipped: int
    """Steps between the first and the others that are not told."""
    sessions: list[tuple[str, str]]
    """Each inference_config.json: its path in the folder, and its text."""
    metrics: list[Measure]
    more_metrics: int
    files: list[File]
    more_files: int
    size: str


def makings(
    folders: Sequence[CandidateFolder], candidates: Sequence[Candidate], accelerators: Sequence[str], words: Words
) -> list[Making]:
    """The candidates in detail, best first, as far as there is room."""
    room = _Room(_ALL_CONFIGS)
    pairs = list(zip(folders, candidates, strict=True))[:MADE_SHOWN]
    return [_making(folder, each, accelerators, words, room) for folder, each in pairs]


class _Room:
    """Room for long texts, that is used up."""

    def __init__(self, size: int) -> None:
        self._left = size

    def take(self, text: str) -> str:
        """The text, or where to find it instead."""
        needed = len(escape(text))
        if needed > self._left:
            return _ELSEWHERE
        self._left -= needed
        return text


def _making(
    folder: CandidateFolder, candidate: Candidate, accelerators: Sequence[str], words: Words, room: _Room
) -> Making:
    ranked, lineage = candidate.ranked, candidate.lineage
    told = lineage if len(lineage) <= _STEPS else (lineage[0], *lineage[1 - _STEPS :])
    metrics = measures(ranked.metrics, input_metrics(candidate), words)
    base = len(folder.prefix) + 1 if folder.prefix else 0
    sessions = [
        (words.name(path[base:], 120), room.take(shown.block(entry.data.decode("utf-8", "replace"), _CONFIG)))
        for path, entry in folder.entries.items()
        if path.rpartition("/")[2] == INFERENCE_CONFIG and isinstance(entry, Made)
    ]
    files = [
        File(words.name(path[base:], 120), shown.size(entry_size(entry))) for path, entry in folder.entries.items()
    ]
    return Making(
        rank=ranked.rank,
        model=words.name(ranked.model_id),
        accelerator=str(ranked.accelerator),
        at=accelerators.index(str(ranked.accelerator)),
        folder=words.name(folder.prefix, 200),
        steps=[_step(node, words, room) for node in told],
        skipped=len(lineage) - len(told),
        sessions=sessions[:_NAMES],
        metrics=metrics[:_METRICS],
        more_metrics=max(0, len(metrics) - _METRICS),
        files=files[:_FILES],
        more_files=max(0, len(files) - _FILES),
        size=shown.size(model_size(folder, candidate)),
    )


def _step(node: Node, words: Words, room: _Room) -> Step:
    config = node.pass_run_config or {}
    given = {key: value for key, value in config.items() if value is not None}
    unset = sorted(words.name(key, 60) for key, value in config.items() if value is None)
    more = f" and {len(unset) - _NAMES} more" if len(unset) > _NAMES else ""
    if node.from_pass is None:
        title = "Input model" if node.is_input else "Made by no pass"
    else:
        title = words.name(node.from_pass, 80)
    return Step(
        title=title,
        model=words.name(node.model_id),
        took=_took(node),
        settings=room.take(words.settings(given, _CONFIG)) if given else None,
        unset=", ".join(unset[:_NAMES]) + more,
    )


def _took(node: Node) -> str | None:
    begun, ended = node.start_time, node.end_time
    if not begun or not ended or shown.moment(begun) is None or shown.moment(ended) is None or ended < begun:
        return None
    return shown.duration(ended - begun)
