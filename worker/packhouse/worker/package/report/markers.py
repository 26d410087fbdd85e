"""How accelerators are told apart: by the shape of a marker, and by its colour."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

_Point = tuple[float, float]

COLOURS: Final = 8
"""Colours that the style sheet has, as classes ``c0`` and so on."""


def style_of(accelerator: int) -> int:
    """The number of an accelerator's colour. Law: of the first 64, no two have both shape and colour in common."""
    return (accelerator + accelerator // len(_SHAPES)) % COLOURS


def marker(accelerator: int, radius: float) -> str:
    """The outline of an accelerator's marker around (0, 0), as an SVG path; all of about the same size."""
    return _SHAPES[accelerator % len(_SHAPES)](radius)


def _circle(r: float) -> str:
    return f"M{-r:.1f} 0a{r:.1f} {r:.1f} 0 1 0 {2 * r:.1f} 0a{r:.1f} {r:.1f} 0 1 0 {-2 * r:.1f} 0z"


def _polygon(*points: _Point) -> Callable[[float], str]:
    def path(r: float) -> str:
        return "M" + "L".join(f"{x * r:.1f} {y * r:.1f}" for x, y in points) + "z"

    return path


def _star(r: float) -> str:
    corners = [(math.sin(at * math.pi / 5), -math.cos(at * math.pi / 5)) for at in range(10)]
    reach = [1.35, 0.6] * 5
    return _polygon(*((x * far, y * far) for (x, y), far in zip(corners, reach, strict=True)))(r)


_SHAPES: Final[tuple[Callable[[float], str], ...]] = (
    _circle,
    _polygon((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    _polygon((0, -1.2), (1.15, 0.8), (-1.15, 0.8)),
    _polygon((0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)),
    _polygon(
        (-0.4, -1.2), (0.4, -1.2), (0.4, -0.4), (1.2, -0.4), (1.2, 0.4), (0.4, 0.4),
        (0.4, 1.2), (-0.4, 1.2), (-0.4, 0.4), (-1.2, 0.4), (-1.2, -0.4), (-0.4, -0.4),
    ),
    _polygon((0, 1.2), (1.15, -0.8), (-1.15, -0.8)),
    _star,
    _polygon((-0.55, -1.1), (0.55, -1.1), (1.15, 0), (0.55, 1.1), (-0.55, 1.1), (-1.15, 0)),
)  # fmt: skip
