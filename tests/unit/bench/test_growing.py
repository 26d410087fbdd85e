"""How costs that are known to grow in a way are said to grow."""

from __future__ import annotations

import pytest
from bench.growing import Growth, exponent, grown

SIZES = (1, 100, 10_000)


@pytest.mark.parametrize("power", [0.5, 1, 2])
def test_what_grows_by_a_power_has_it_as_exponent_whatever_was_spent_before(power: float) -> None:
    for fixed in (0.0, 7.0):
        found = exponent((0, *SIZES), [fixed + 3 * size**power for size in (0, *SIZES)])
        assert found == pytest.approx(power)


def test_what_does_not_grow_has_no_exponent() -> None:
    assert exponent(SIZES, [5, 5, 5]) == 0
    assert exponent(SIZES, [5, 6, 4]) == 0


def test_a_step_that_drowned_in_noise_does_not_look_worse_than_quadratic() -> None:
    assert exponent(SIZES, [5, 4, 6]) == pytest.approx(2, rel=0.01)


def test_every_size_is_taken_in_every_turn_and_once_before() -> None:
    taken: list[int] = []

    def cost(size: int) -> float:
        taken.append(size)
        return 2.0 * size

    growth = grown(SIZES, 2, "s", cost)
    assert sorted(taken) == sorted(SIZES * 3)
    assert growth.medians == [2, 200, 20_000]
    assert growth.linear().values == pytest.approx((1, 1))
    assert growth.flat().values == (10_000, 10_000)


def test_figures_are_told_for_people_and_for_programs() -> None:
    measured = Growth((1, 10, 100), [(1, 1, 2), (1, 1, 4)], "s", {"other": 7}).flat()
    assert measured.median == 3
    assert measured.note == "s at 1: 1, 10: 1, 100: 3"
    assert measured.figures == {"at_1": 1, "at_10": 1, "at_100": 3, "other": 7}
