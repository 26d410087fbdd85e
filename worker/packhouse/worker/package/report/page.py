"""The page: what it tells is collected here, and put into its templates."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Sequence
from importlib.metadata import version
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, FunctionLoader, StrictUndefined

from packhouse.schemas.checks import ModelCheck
from packhouse.schemas.cloudevent import RunRef
from packhouse.schemas.events import FinishedRun
from packhouse.schemas.files import Unavailable
from packhouse.schemas.ranking import Ranking
from packhouse.worker.package.candidate import Candidate, CandidateFolder
from packhouse.worker.package.report.chart import NARROW, WIDE, draw
from packhouse.worker.package.report.content import OBJECTIVES_SHOWN, counts, left_out_groups, missing, rows, times
from packhouse.worker.package.report.making import makings
from packhouse.worker.package.report.markers import marker, style_of
from packhouse.worker.package.report.outcome import why
from packhouse.worker.package.report.points import CANDIDATES_SHOWN, Role, points_of
from packhouse.worker.package.report.shown import Words
from packhouse.worker.package.report.usage import usage
from packhouse.worker.package.scrub import Scrubber

REPORT: Final = "report.html"
_DISTRIBUTION: Final = "packhouse"
_TABLE_OBJECTIVES: Final = 4
"""With more objectives than this, the table's rows are cards on screens of any width."""


def report(  # noqa: PLR0913, PLR0917 (each is another part of what a package is planned from)
    name: str,
    run: RunRef,
    event: FinishedRun,
    ranking: Ranking,
    folders: Sequence[CandidateFolder],
    candidates: Sequence[Candidate],
    checks: Sequence[ModelCheck],
    unavailable: Sequence[Unavailable],
    scrub: Scrubber,
    others: Collection[str] = (),
) -> bytes:
    """The page for the package ``name``: HTML in UTF-8 that asks for nothing else, and runs nothing.

    ``folders`` and ``candidates`` are those of the ranking, best first, one for one. ``others`` are the paths of the
    package outside the candidates' folders: the page tells of sample code and runtime packages that are among them.
    Equal arguments give equal bytes. It stays below four megabytes, whatever a run holds.
    """
    words = Words(scrub)
    accelerators = [str(footprint.accelerator) for footprint in event.footprints]
    objectives = ranking.objectives[:OBJECTIVES_SHOWN]
    tried, measured = counts(event, ranking)
    style = _environment.get_template("style.css.j2").render()
    values: dict[str, Any] = {
        "name": words.name(name, 180),
        "run": {"id": words.name(run.id), "source": words.name(run.source)},
        "engine": _engine(event, words),
        "times": times(event),
        "tried": tried,
        "measured": measured,
        "count": len(ranking.candidates),
        "winner": words.name(ranking.candidates[0].model_id) if ranking.candidates else None,
        "why": why(ranking, words) if ranking.candidates else None,
        "objectives": [words.name(each.name, 60) for each in objectives],
        "more_objectives": len(ranking.objectives) - len(objectives),
        "cards": len(objectives) > _TABLE_OBJECTIVES,
        "chart": _chart(event, ranking, accelerators, words),
        "rows": rows(folders, candidates, objectives, checks, accelerators, words),
        "makings": makings(folders, candidates, accelerators, words),
        "left_out": left_out_groups(ranking.left_out, words),
        "left_out_count": len(ranking.left_out),
        "missing": missing(unavailable, words),
        "usage": usage(folders[0], candidates[0], others, words) if folders else None,
        "accelerators": accelerators,
        "marker": marker,
        "style_of": style_of,
        "style": style,
        "style_digest": base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        "version": version(_DISTRIBUTION),
    }
    return _environment.get_template("report.html.j2").render(values).encode("utf-8")


def _engine(event: FinishedRun, words: Words) -> dict[str, Any]:
    return {
        "name": words.name(event.engine.name, 60),
        "version": words.name(event.engine.version, 60) if event.engine.version else None,
        "packages": [f"{each.name} {each.version}" for each in event.engine.runtime_packages[:10]],
    }


def _chart(event: FinishedRun, ranking: Ranking, accelerators: Sequence[str], words: Words) -> dict[str, Any] | None:
    """The chart in both widths, and what is not in it; None where there are no objectives."""
    objectives = ranking.objectives[:2]
    if not objectives:
        return None
    points = points_of(event, ranking, objectives, words)
    plotted = {point.rank for point in points if point.role is Role.CANDIDATE}
    absent = [each.rank for each in ranking.candidates[:CANDIDATES_SHOWN] if each.rank not in plotted]
    drawn: list[Any] = []
    if points:
        named = [each.model_copy(update={"name": words.name(each.name, 60)}) for each in objectives]
        drawn = [draw(points, named, accelerators, paper) for paper in (WIDE, NARROW)]
    return {
        "objectives": [words.name(each.name, 60) for each in objectives],
        "drawn": drawn,
        "accelerators": sorted({point.accelerator for point in points}),
        "others": sum(1 for point in points if point.role is Role.OTHER),
        "inputs": any(point.role is Role.INPUT for point in points),
        "plotted": len(plotted),
        "absent": absent,
        "beyond": max(0, len(ranking.candidates) - CANDIDATES_SHOWN),
    }


def _source(name: str) -> str:
    return files("packhouse.worker.package.report").joinpath("templates", name).read_text(encoding="utf-8")


def _made_environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_source),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["px"] = lambda value: f"{value:.1f}"
    environment.filters["grouped"] = lambda value: f"{value:,}"
    return environment


_environment: Final = _made_environment()
"""Templates are read from beside this module, by fixed names."""
