"""The chart: where everything in it lies, for one width of the page. What it looks like is the template's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from packhouse.schemas.ranking import Objective
from packhouse.worker.package.report.labels import LINE, Labels, width_of
from packhouse.worker.package.report.markers import marker, style_of
from packhouse.worker.package.report.points import Point, Role, frontier, thinned
from packhouse.worker.package.report.scales import Scale, scale_of
from packhouse.worker.package.report.shown import shortened

MOST_OTHERS: Final = 400
"""Points that are no candidates."""
_FRONTIERS: Final = 4
"""With more accelerators than this, one line is drawn for all of them."""
_INSET: Final = 14.0
"""Room between the frame and what is drawn in it."""
_ROW: Final = 34.0
"""Height of an accelerator's row, where there is one objective only."""
_BELOW: Final = 52.0
"""Height of the ticks and the title below the frame."""
_RADIUS: Final = 6.0
_SMALL: Final = 3.0
_CROWD: Final = 60
"""From so many candidates on, their markers are smaller."""
_RADIUS_IN_CROWD: Final = 4.5


@dataclass(frozen=True)
class Paper:
    """The room for a chart, in pixels, and for how many ticks it has room."""

    name: str
    width: float
    height: float
    across: int
    up: int
    title_lines: int
    """Lines that an axis's title is written on, one or two."""


WIDE: Final = Paper("wide", 1040, 460, 8, 6, 1)
NARROW: Final = Paper("narrow", 340, 390, 4, 6, 2)


@dataclass(frozen=True)
class Mark:
    """A point as it is drawn: the outline ``d`` of its marker around (x, y)."""

    x: float
    y: float
    d: str
    style: int
    """Number of the accelerator's colour."""
    title: str
    rank: int | None = None


@dataclass(frozen=True)
class Written:
    """A piece of text on the chart; the line that it stands on begins, ends or is centred at (x, y)."""

    x: float
    y: float
    text: str
    anchor: str


@dataclass(frozen=True)
class Line:
    """The frontier of one accelerator, or of all (style None), as an SVG path."""

    d: str
    style: int | None
    dashes: int
    """Number of the pattern it is drawn in: lines that lie on each other are told apart by it."""


@dataclass(frozen=True)
class Chart:
    """Everything that is drawn, in the order from the back to the front."""

    paper: Paper
    height: float
    left: float
    top: float
    right: float
    bottom: float
    across: tuple[Written, ...]
    """Ticks of the horizontal axis."""
    up: tuple[Written, ...]
    """Ticks of the vertical axis, or names of accelerators."""
    across_title: tuple[str, ...]
    """Lines, at most two."""
    up_title: tuple[str, ...]
    """The same; none where there is one objective only."""
    lines: tuple[Line, ...]
    others: tuple[Mark, ...]
    inputs: tuple[Mark, ...]
    candidates: tuple[Mark, ...]
    labels: tuple[Written, ...]


def draw(points: Sequence[Point], objectives: Sequence[Objective], accelerators: Sequence[str], paper: Paper) -> Chart:
    """A scatter chart of two objectives, the first upwards; of one objective a row of points for each accelerator.

    There is at least one point. Names of objectives are drawn as they are.
    """
    return _Drawing(points, objectives, accelerators, paper).chart()


def better(objective: Objective, *, upwards: bool) -> str:
    """Where on an axis better is."""
    if upwards:
        return "↑ higher is better" if objective.higher_is_better else "↓ lower is better"
    return "higher is better →" if objective.higher_is_better else "← lower is better"


class _Drawing:
    """One chart being drawn."""

    def __init__(
        self, points: Sequence[Point], objectives: Sequence[Objective], accelerators: Sequence[str], paper: Paper
    ) -> None:
        self._points = points
        self._objectives = objectives
        self._accelerators = accelerators
        self._paper = paper
        self._scatter = len(objectives) > 1
        self._horizontal = scale_of((point.values[-1] for point in points), paper.across)
        self._vertical = scale_of((point.values[0] for point in points), paper.up) if self._scatter else None
        self._rows = sorted({point.accelerator for point in points})
        beside = (
            [tick.text for tick in self._vertical.ticks] if self._vertical else [accelerators[i] for i in self._rows]
        )
        self._left = min(max(width_of(text) for text in beside) + 12, paper.width * 0.42)
        self._right = paper.width - 16
        self._titles = LINE * (paper.title_lines - 1)
        self._top = 34.0 + self._titles if self._scatter else 12.0
        self._bottom = (
            paper.height - _BELOW - self._titles if self._scatter else self._top + _ROW * len(self._rows) + 2 * _INSET
        )

    def chart(self) -> Chart:
        """Everything in its place."""
        by_role = {role: [point for point in self._points if point.role is role] for role in Role}
        others = [self._mark(point, _SMALL) for point in by_role[Role.OTHER]]
        kept = thinned([(mark.x, mark.y) for mark in others], MOST_OTHERS)
        inputs = [self._mark(point, _SMALL) for point in by_role[Role.INPUT]]
        radius = _RADIUS if len(by_role[Role.CANDIDATE]) < _CROWD else _RADIUS_IN_CROWD
        candidates = [self._mark(point, radius) for point in by_role[Role.CANDIDATE]]
        return Chart(
            paper=self._paper,
            height=self._bottom + _BELOW + self._titles,
            left=self._left,
            top=self._top,
            right=self._right,
            bottom=self._bottom,
            across=tuple(self._across()),
            up=tuple(self._up()),
            across_title=self._title(self._objectives[-1], self._horizontal, upwards=False),
            up_title=self._title(self._objectives[0], self._vertical, upwards=True) if self._vertical else (),
            lines=tuple(self._frontiers()),
            others=tuple(others[at] for at in kept),
            inputs=tuple(inputs),
            # The best is drawn last and lies on top.
            candidates=tuple(reversed(candidates)),
            labels=tuple(self._labels(candidates, inputs)),
        )

    def _title(self, objective: Objective, scale: Scale, *, upwards: bool) -> tuple[str, ...]:
        powers = " · logarithmic" if scale.logarithmic else ""
        where = better(objective, upwards=upwards) + powers
        room = int(self._paper.width / width_of("m"))
        if self._paper.title_lines > 1:
            return shortened(objective.name, room), where
        return (f"{shortened(objective.name, room - len(where) - 3)} · {where}",)

    def _x(self, value: Fraction) -> float:
        return self._left + _INSET + self._horizontal.place(value) * (self._right - self._left - 2 * _INSET)

    def _y(self, point: Point) -> float:
        if self._vertical is None:
            return self._top + _INSET + _ROW * (self._rows.index(point.accelerator) + 0.5)
        return self._height_of(self._vertical, point.values[0])

    def _height_of(self, scale: Scale, value: Fraction) -> float:
        return self._bottom - _INSET - scale.place(value) * (self._bottom - self._top - 2 * _INSET)

    def _mark(self, point: Point, radius: float) -> Mark:
        d = marker(point.accelerator, radius)
        return Mark(self._x(point.values[-1]), self._y(point), d, style_of(point.accelerator), point.title, point.rank)

    def _across(self) -> list[Written]:
        """Ticks whose text has room beside the one before."""
        written: list[Written] = []
        free = 0.0
        for tick in self._horizontal.ticks:
            x, half = self._x(tick.value), width_of(tick.text) / 2
            room = x - half >= free and x + half <= self._paper.width
            written.append(Written(x, self._bottom, tick.text if room else "", "middle"))
            free = x + half + 8 if room else free
        return written

    def _up(self) -> list[Written]:
        if self._vertical is not None:
            scale = self._vertical
            return [Written(self._left, self._height_of(scale, tick.value), tick.text, "end") for tick in scale.ticks]
        middle = self._top + _INSET + _ROW / 2
        longest = int(self._left / width_of("m"))
        return [
            Written(self._left, middle + _ROW * at, shortened(self._accelerators[index], longest), "end")
            for at, index in enumerate(self._rows)
        ]

    def _frontiers(self) -> list[Line]:
        if not self._scatter:
            return []
        if len(self._rows) > _FRONTIERS:
            groups: list[tuple[int | None, list[Point]]] = [(None, list(self._points))]
        else:
            groups = [(row, [point for point in self._points if point.accelerator == row]) for row in self._rows]
        return [
            Line(self._steps(best), None if row is None else style_of(row), at)
            for at, (row, group) in enumerate(groups)
            if (best := frontier(group, self._objectives[:2]))
        ]

    def _steps(self, best: Sequence[Point]) -> str:
        """The border of what the points beat, from where the first objective is worst to where the second is."""
        first, second = self._objectives[:2]
        worst_y = self._bottom if first.higher_is_better else self._top
        worst_x = self._left if second.higher_is_better else self._right
        path = [f"M{self._x(best[0].values[1]):.1f} {worst_y:.1f}"]
        for at, point in enumerate(best):
            path.append(f"V{self._y(point):.1f}")
            path.append(f"H{self._x(best[at + 1].values[1]) if at + 1 < len(best) else worst_x:.1f}")
        return "".join(path)

    def _labels(self, candidates: Sequence[Mark], inputs: Sequence[Mark]) -> list[Written]:
        labels = Labels(self._left, self._top - LINE, self._paper.width, self._bottom)
        for mark in (*candidates, *inputs):
            labels.keep_free(mark.x, mark.y, _RADIUS)
        texts = [(mark, str(mark.rank)) for mark in candidates] + [(mark, "input") for mark in inputs]
        placed = [(text, labels.beside(mark.x, mark.y, _RADIUS, text)) for mark, text in texts]
        return [Written(*place, text, "start") for text, place in placed if place is not None]
