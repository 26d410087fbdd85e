"""Places for labels beside points, so that none covers another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

LINE: Final = 14.0
"""Height of a line of text."""
_CHARACTER: Final = 8.4
"""Width to allow for a character: the widest of common fonts, in bold."""
_GAP: Final = 3.0
_BASELINE: Final = 3.5

_Box = tuple[float, float, float, float]


def width_of(text: str) -> float:
    """Room for a text, generously."""
    return len(text) * _CHARACTER


class Labels:
    """Labels placed so far. The first come get the best places; one for which there is none is left out."""

    def __init__(self, left: float, top: float, right: float, bottom: float) -> None:
        self._frame = (left, top, right, bottom)
        self._taken: list[_Box] = []

    def keep_free(self, x: float, y: float, radius: float) -> None:
        """Let no label come over this point."""
        self._taken.append((x - radius, y - radius, x + radius, y + radius))

    def beside(self, x: float, y: float, radius: float, text: str) -> tuple[float, float] | None:
        """Where the text begins and on which line it stands, beside a point; None where it would cover something."""
        width = width_of(text)
        for left, middle in _places(x, y, radius, width):
            box = (left, middle - LINE / 2, left + width, middle + LINE / 2)
            if _inside(box, self._frame) and not any(_overlap(box, other) for other in self._taken):
                self._taken.append(box)
                return left, middle + LINE / 2 - _BASELINE
        return None


def _places(x: float, y: float, radius: float, width: float) -> Iterator[tuple[float, float]]:
    """Left end and middle of a label: right, above, left, below, and the corners between."""
    away = radius + _GAP
    right, left, centre = x + away, x - away - width, x - width / 2
    above, below = y - away - LINE / 2, y + away + LINE / 2
    yield from ((right, y), (centre, above), (left, y), (centre, below))
    yield from ((right, above), (left, above), (right, below), (left, below))


def _inside(box: _Box, frame: _Box) -> bool:
    return box[0] >= frame[0] and box[1] >= frame[1] and box[2] <= frame[2] and box[3] <= frame[3]


def _overlap(one: _Box, other: _Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
