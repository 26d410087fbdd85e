from __future__ import annotations

import itertools
import math
import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packhouse.schemas.ranking import Objective
from packhouse.worker.package.report.chart import MOST_OTHERS, NARROW, WIDE, Chart, Paper, Written, draw
from packhouse.worker.package.report.labels import Labels, width_of
from packhouse.worker.package.report.markers import marker, style_of
from packhouse.worker.package.report.points import Point, Role, frontier, thinned

ACCURACY = Objective(name="accuracy", priority=1, higher_is_better=True)
LATENCY = Objective(name="latency", priority=2, higher_is_better=False)
numbers = st.one_of(st.integers(-3, 3), st.floats(allow_nan=False, allow_infinity=False), st.just(10**400))
pairs = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=30)
papers = st.sampled_from([WIDE, NARROW])


def points(*values: tuple[float, ...], role: Role = Role.CANDIDATE, accelerator: int = 0) -> list[Point]:
    return [
        Point(tuple(map(Fraction, pair)), accelerator, role, f"p{at}", at if role is Role.CANDIDATE else None)
        for at, pair in enumerate(values, 1)
    ]


def chart(*values: tuple[float, ...], paper: Paper = WIDE) -> Chart:
    objectives = [ACCURACY, LATENCY][: len(values[0])]
    return draw(points(*values), objectives, ["cpu-cpu"], paper)


@given(pairs, papers)
def test_every_point_is_drawn_within_the_frame(values: list[tuple[float, float]], paper: Paper) -> None:
    drawn = chart(*values, paper=paper)
    assert len(drawn.candidates) == len(values)
    for mark in drawn.candidates:
        assert drawn.left <= mark.x <= drawn.right <= paper.width
        assert drawn.top <= mark.y <= drawn.bottom <= drawn.height
        assert math.isfinite(mark.x + mark.y)


@given(pairs, papers)
def test_what_is_written_beside_the_axes_stays_on_the_paper(values: list[tuple[float, float]], paper: Paper) -> None:
    drawn = chart(*values, paper=paper)
    shown = [each for each in drawn.across if each.text]
    assert all(each.x + width_of(each.text) / 2 <= paper.width for each in shown)
    assert all(_right(one) <= _left(other) for one, other in itertools.pairwise(shown))
    assert max(len(line) for line in (*drawn.across_title, *drawn.up_title)) * 7 <= paper.width


def test_higher_is_up_and_right_whichever_is_better_and_the_titles_say_which() -> None:
    drawn = chart((0.9, 1.0), (0.8, 2.0))
    first, second = sorted(drawn.candidates, key=lambda mark: mark.title)
    assert first.y < second.y
    assert first.x < second.x
    assert drawn.up_title == ("accuracy · ↑ higher is better",)
    assert drawn.across_title == ("latency · ← lower is better",)


def test_the_best_candidate_lies_on_top_of_the_others() -> None:
    assert [mark.rank for mark in chart((3, 1), (2, 1), (1, 1)).candidates] == [3, 2, 1]


def test_one_objective_gives_a_row_for_each_accelerator() -> None:
    found = [*points((1,), (2,)), *points((1,), accelerator=1)]
    drawn = draw(found, [LATENCY], ["cpu-cpu", "gpu-cuda"], WIDE)
    assert [each.text for each in drawn.up] == ["cpu-cpu", "gpu-cuda"]
    assert len({mark.y for mark in drawn.candidates}) == 2
    assert not drawn.lines
    assert not drawn.up_title


@given(pairs)
def test_on_the_frontier_none_beats_another_and_all_others_are_beaten(values: list[tuple[float, float]]) -> None:
    found = points(*values)
    best = frontier(found, [ACCURACY, LATENCY])
    assert best
    for one in best:
        assert not any(_beats(other, one) for other in found)
    for one in found:
        assert one in best or any(_beats(other, one) or other.values == one.values for other in best)


def test_the_input_model_is_on_no_frontier() -> None:
    found = [*points((0.5, 0.5)), *points((0.9, 0.1), role=Role.INPUT)]
    assert [point.role for point in frontier(found, [ACCURACY, LATENCY])] == [Role.CANDIDATE]


def test_the_frontier_is_drawn_as_steps_from_edge_to_edge() -> None:
    drawn = chart((0.9, 2.0), (0.8, 1.0))
    [line] = drawn.lines
    assert re.sub(r"[0-9.]+", "", line.d) == "M VHVH"
    assert line.d.startswith(f"M{drawn.candidates[0].x:.1f} {drawn.bottom:.1f}")
    assert line.d.endswith(f"H{drawn.right:.1f}")


@pytest.mark.parametrize(("accelerators", "lines"), [(1, 1), (4, 4), (5, 1)])
def test_few_accelerators_have_a_frontier_each_and_many_have_one_together(accelerators: int, lines: int) -> None:
    found = [point for at in range(accelerators) for point in points((at, at + 1), accelerator=at)]
    drawn = draw(found, [ACCURACY, LATENCY], [f"a{at}" for at in range(accelerators)], WIDE)
    assert len(drawn.lines) == lines
    assert len({(line.style, line.dashes) for line in drawn.lines}) == lines


@given(st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 1000)), max_size=200), st.integers(1, 50))
def test_thinning_keeps_at_most_so_many_and_always_the_same(places: list[tuple[float, float]], most: int) -> None:
    kept = thinned(places, most)
    assert len(kept) <= most
    assert kept == sorted(set(kept)) == thinned(places, most)
    assert bool(kept) == bool(places)
    assert kept == list(range(len(places))) or len(places) > most


def test_points_that_are_no_candidates_are_thinned() -> None:
    found = points(*((at % 70, at // 70) for at in range(4900)), role=Role.OTHER)
    drawn = draw(found, [ACCURACY, LATENCY], ["cpu-cpu"], WIDE)
    assert MOST_OTHERS / 4 < len(drawn.others) <= MOST_OTHERS


@given(st.lists(st.tuples(st.floats(20, 380), st.floats(20, 380)), max_size=60))
def test_labels_cover_neither_each_other_nor_a_point(places: list[tuple[float, float]]) -> None:
    labels = Labels(0, 0, 400, 400)
    for x, y in places:
        labels.keep_free(x, y, 6)
    boxes: list[tuple[float, float, float, float]] = []
    for at, (x, y) in enumerate(places):
        if (place := labels.beside(x, y, 6, str(at))) is not None:
            boxes.append((place[0], place[1] - 10.5, place[0] + width_of(str(at)), place[1] + 3.5))
    boxes += [(x - 6, y - 6, x + 6, y + 6) for x, y in places]
    labelled = boxes[: len(boxes) - len(places)]
    assert all(box[0] >= 0 and box[2] <= 400 for box in labelled)
    for at, one in enumerate(labelled):
        for other in boxes[at + 1 :]:
            apart = 1e-6
            assert (
                one[0] >= other[2] - apart
                or other[0] >= one[2] - apart
                or one[1] >= other[3] - apart
                or other[1] >= one[3] - apart
            )


def test_accelerators_differ_in_shape_and_colour_and_no_two_of_sixty_four_look_alike() -> None:
    assert len({marker(at, 6.0) for at in range(8)}) == len({style_of(at) for at in range(8)}) == 8
    assert len({(marker(at, 6.0), style_of(at)) for at in range(64)}) == 64


def _left(each: Written) -> float:
    return each.x - width_of(each.text) / 2


def _right(each: Written) -> float:
    return each.x + width_of(each.text) / 2


def _beats(one: Point, other: Point) -> bool:
    better = one.values[0] >= other.values[0] and one.values[1] <= other.values[1]
    return better and one.values != other.values
