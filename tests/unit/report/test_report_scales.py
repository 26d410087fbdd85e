from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packhouse.worker.package.report.scales import scale_of
from packhouse.worker.package.report.shown import exact

numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(10**40), 10**40),
    st.floats(0, 1),
    st.sampled_from([0, 5e-324, -5e-324, 1.7e308, -1.7e308, 10**400, 0.1, 0.1 + 2**-56]),
)


def written(value: float) -> Fraction:
    found = exact(value)
    assert found is not None
    return found


values = st.lists(numbers.map(Fraction), min_size=1, max_size=8)


@given(values, st.integers(2, 9))
def test_every_value_has_a_place_on_its_axis_and_places_grow_with_values(found: list[Fraction], most: int) -> None:
    scale = scale_of(found, most)
    places = [scale.place(value) for value in sorted(found)]
    assert all(0 <= place <= 1 for place in places)
    assert places == sorted(places)
    assert scale.low <= min(found)
    assert max(found) <= scale.high


@given(values, st.integers(2, 9))
def test_ticks_grow_are_told_apart_and_are_neither_too_few_nor_too_many(found: list[Fraction], most: int) -> None:
    ticks = scale_of(found, most).ticks
    assert 2 <= len(ticks) <= 2 * most + 3
    assert all(before.value < after.value for before, after in itertools.pairwise(ticks))
    assert len({tick.text for tick in ticks}) == len(ticks)
    assert max(len(tick.text) for tick in ticks) <= 20


@given(st.lists(st.floats(-1e6, 1e6).map(Fraction), min_size=2, max_size=8))
def test_the_text_of_a_tick_is_its_value(found: list[Fraction]) -> None:
    for tick in scale_of(found).ticks:
        assert Fraction(tick.text.replace(",", "")) == tick.value


@pytest.mark.parametrize(
    ("found", "texts"),
    [
        ([0.98698, 0.99219], ["0.986", "0.987", "0.988", "0.989", "0.990", "0.991", "0.992", "0.993"]),
        ([0, 204120], ["0", "50,000", "100,000", "150,000", "200,000", "250,000"]),
        ([5, 5], ["4.7", "4.8", "4.9", "5.0", "5.1", "5.2", "5.3"]),
        ([0, 0], ["-1.0", "-0.5", "0.0", "0.5", "1.0"]),
        ([0.0075, 0.49], ["0.005", "0.01", "0.02", "0.05", "0.1", "0.2", "0.5"]),
        ([3e-9, 4e-9], ["3.0e-9", "3.2e-9", "3.4e-9", "3.6e-9", "3.8e-9", "4.0e-9"]),
        ([1, 1e24], ["1", "100", "10,000", "1,000,000", *(f"1e{power}" for power in range(8, 25, 2))]),
    ],
)
def test_ticks_are_round_numbers_that_people_would_choose(found: list[float], texts: list[str]) -> None:
    assert [tick.text for tick in scale_of(written(value) for value in found).ticks] == texts


def test_only_positive_values_far_apart_are_shown_by_their_logarithms() -> None:
    assert scale_of([Fraction(1), Fraction(20)]).logarithmic
    assert not scale_of([Fraction(1), Fraction(19)]).logarithmic
    assert not scale_of([Fraction(0), Fraction(10**9)]).logarithmic
    assert not scale_of([Fraction(-1), Fraction(10**9)]).logarithmic


def test_values_too_close_for_any_axis_are_drawn_in_one_place() -> None:
    close = [Fraction(10**400), Fraction(10**400 + 1)]
    scale = scale_of(close)
    assert scale.place(close[0]) == pytest.approx(scale.place(close[1]))
    assert max(len(tick.text) for tick in scale.ticks) < 12


def test_an_axis_needs_a_value() -> None:
    with pytest.raises(ValueError, match=r"empty|argument"):
        scale_of([])
