"""Scales of a chart: where a value lies on an axis, and which values are written on it.

All arithmetic is exact, so that values of any size and any distance have a place, and no rounding moves a tick.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from typing import Final

_LOGARITHMIC_FROM: Final = 20
"""Positive values of which the highest is so many times the lowest are shown by their logarithms."""
_DIGITS: Final = (1, 2, 5)
_SAME_BELOW: Final = Fraction(1, 10**9)
"""Values that differ by less than this part of themselves are drawn as equal: no axis could tell them apart."""
_PLAIN_DIGITS: Final = 6
_EXACT: Final = Context(prec=40)


@dataclass(frozen=True)
class Tick:
    """A value that is written on an axis."""

    value: Fraction
    text: str


@dataclass(frozen=True)
class Scale:
    """An axis from ``low`` to ``high``, both of them ticks.

    Laws: every value it was made for has a place from 0 to 1; places grow with values; ticks grow, and no two have
    the same text.
    """

    low: Fraction
    high: Fraction
    logarithmic: bool
    ticks: tuple[Tick, ...]

    def place(self, value: Fraction) -> float:
        """0 at ``low``, 1 at ``high``."""
        if self.logarithmic:
            low = _log10(self.low)
            share = (_log10(value) - low) / (_log10(self.high) - low)
        else:
            share = float((value - self.low) / (self.high - self.low))
        return min(1.0, max(0.0, share))


def scale_of(values: Iterable[Fraction], most: int = 6) -> Scale:
    """The scale for these values, with about ``most`` steps between ticks. Raises ``ValueError`` without a value."""
    known = list(values)
    low, high = min(known), max(known)
    if low > 0 and high >= low * _LOGARITHMIC_FROM:
        return _logarithmic(low, high, most)
    if high - low <= max(abs(low), abs(high)) * _SAME_BELOW:
        room = abs(low) / 20 or Fraction(1)
        low, high = low - room, high + room
    return _linear(low, high, most)


def _linear(low: Fraction, high: Fraction, most: int) -> Scale:
    step, exponent = _step((high - low) / most)
    first, last = math.floor(low / step), math.ceil(high / step)
    values = [at * step for at in range(first, last + 1)]
    top = _exponent(max(abs(values[0]), abs(values[-1])))
    plain = exponent >= -_PLAIN_DIGITS and top <= _PLAIN_DIGITS
    texts = [_plain(each, exponent) if plain else _scientific(each, exponent) for each in values]
    ticks = tuple(Tick(value, text) for value, text in zip(values, texts, strict=True))
    return Scale(values[0], values[-1], logarithmic=False, ticks=ticks)


def _logarithmic(low: Fraction, high: Fraction, most: int) -> Scale:
    """Ticks at 1, 2 and 5 times each power of ten where these are not far too many, else at powers of ten."""
    first, last = _exponent(low), _exponent(high)
    steps = [(digit, exponent) for exponent in range(first, last + 2) for digit in _DIGITS]
    begin = max(at for at, (digit, exponent) in enumerate(steps) if digit * _power(exponent) <= low)
    end = min(at for at, (digit, exponent) in enumerate(steps) if digit * _power(exponent) >= high)
    steps = steps[begin : end + 1]
    if len(steps) > 2 * most + 1:
        last += _power(last) < high
        every = -(-(last - first) // (2 * most))
        count = -(-(last - first) // every)
        steps = [(1, first + at * every) for at in range(count + 1)]
    ticks = tuple(Tick(digit * _power(exponent), _said(digit, exponent)) for digit, exponent in steps)
    return Scale(ticks[0].value, ticks[-1].value, logarithmic=True, ticks=ticks)


def _said(digit: int, exponent: int) -> str:
    plain = -_PLAIN_DIGITS <= exponent <= _PLAIN_DIGITS
    return _plain(digit * _power(exponent), exponent) if plain else f"{digit}e{exponent}"


def _step(least: Fraction) -> tuple[Fraction, int]:
    """The least of 1, 2, 5 times a power of ten that is no less, and the exponent of that power."""
    begin = _exponent(least)
    for exponent in (begin, begin + 1):
        for digit in _DIGITS:
            if digit * _power(exponent) >= least:
                return digit * _power(exponent), exponent
    raise AssertionError(least)


def _exponent(value: Fraction) -> int:
    """Power of ten of the first digit."""
    exponent = _decimal(value).adjusted()
    return exponent - 1 if _power(exponent) > value else exponent


def _power(exponent: int) -> Fraction:
    return Fraction(10) ** exponent


def _log10(value: Fraction) -> float:
    return math.log10(value.numerator) - math.log10(value.denominator)


def _decimal(value: Fraction) -> Decimal:
    return _EXACT.divide(Decimal(value.numerator), Decimal(value.denominator))


def _plain(value: Fraction, exponent: int) -> str:
    return f"{_decimal(value):,.{max(0, -exponent)}f}"


def _scientific(value: Fraction, exponent: int) -> str:
    if not value:
        return "0"
    digits = max(0, _exponent(abs(value)) - exponent)
    return f"{_decimal(value):.{digits}e}".replace("e+", "e")
