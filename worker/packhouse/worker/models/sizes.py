"""Which sizes to try for the dimensions that a model leaves open: guesses from names and places, the plainest first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import prod
from typing import Final

Shape = tuple[int, ...]
Dimension = int | str | None

MOST_ELEMENTS: Final = 1 << 25
"""Of all inputs together: what is larger takes too long, and proves no more."""
_MOST_TRIES: Final = 48
_RANKS: Final = (1, 2, 4, 3, 0)
_IMAGE: Final = 4
_CHANNELS: Final = (1, 3, 4)
_STATE: Final = 3


@dataclass(frozen=True)
class Input:
    """An input that is a tensor, as ``signature.TensorType`` has it."""

    name: str
    element: str
    shape: tuple[Dimension, ...] | None


class _Role(StrEnum):
    """What a dimension stands for, most likely."""

    BATCH = "batch"
    CHANNEL = "channel"
    LENGTH = "length"
    PAST = "past"
    TOTAL = "total"
    HEIGHT = "height"
    WIDTH = "width"
    OTHER = "other"


_CHANNELS_FIRST: Final = (_Role.BATCH, _Role.CHANNEL, _Role.HEIGHT, _Role.WIDTH)
_CHANNELS_LAST: Final = (_Role.BATCH, _Role.HEIGHT, _Role.WIDTH, _Role.CHANNEL)
_SAYING: Final = (
    (re.compile(r"^(b|n|bs|.*batch.*)$"), _Role.BATCH),
    (re.compile(r"total.*|.*(past|cache).*\+.*"), _Role.TOTAL),
    (re.compile(r".*(past|cache).*"), _Role.PAST),
    (re.compile(r"^(h|.*height.*)$"), _Role.HEIGHT),
    (re.compile(r"^(w|.*width.*)$"), _Role.WIDTH),
    (re.compile(r"^(c|.*channel.*)$"), _Role.CHANNEL),
    (re.compile(r".*(seq|len|time|token|frame|sample|step).*"), _Role.LENGTH),
)


@dataclass(frozen=True)
class _Guess:
    """A size for each role; what is past and what is new make the total."""

    length: int
    height: int
    width: int
    channel: int = 3
    batch: int = 1
    past: int = 1

    def of(self, role: _Role) -> int:
        return {
            _Role.BATCH: self.batch,
            _Role.CHANNEL: self.channel,
            _Role.LENGTH: self.length,
            _Role.PAST: self.past,
            _Role.TOTAL: self.past + self.length,
            _Role.HEIGHT: self.height,
            _Role.WIDTH: self.width,
            _Role.OTHER: self.length,
        }[role]


_GUESSES: Final = (
    _Guess(1, 1, 1, channel=1),
    _Guess(1, 32, 32, past=0),
    _Guess(8, 32, 32),
    _Guess(8, 64, 64, channel=1, past=0),
    _Guess(32, 48, 320),
    _Guess(256, 256, 256),
    _Guess(512, 224, 224),
    _Guess(16, 640, 640),
    _Guess(128, 28, 28, channel=1),
    _Guess(64, 320, 320),
    _Guess(1024, 512, 512),
    _Guess(80, 299, 299),
    _Guess(3000, 384, 384),
    _Guess(16000, 1024, 1024),
)
_EVERYWHERE: Final = (2, 3, 4, 8, 16, 32, 64)


def tries(inputs: Sequence[Input]) -> Iterator[Mapping[str, Shape]]:
    """Shapes by input, each once: 1 for every open dimension, then guesses. A name stands for one size everywhere.

    Of an input of unknown rank several ranks are tried.
    """
    tried: list[Mapping[str, Shape]] = []
    for shapes in _all(inputs):
        small_enough = sum(prod(shape) for shape in shapes.values()) <= MOST_ELEMENTS
        if shapes not in tried and small_enough:
            tried.append(shapes)
            yield shapes
            if len(tried) == _MOST_TRIES:
                return


def _all(inputs: Sequence[Input]) -> Iterator[Mapping[str, Shape]]:
    ranks = _RANKS if any(each.shape is None for each in inputs) else (0,)
    ranked = [[_of_rank(each, rank) for each in inputs] for rank in ranks]
    for some in ranked:
        yield _shapes(some, dict.fromkeys(_Role, 1))
    for guess in _GUESSES:
        for some in ranked:
            yield _shapes(some, {role: guess.of(role) for role in _Role})
    for size in _EVERYWHERE:
        for some in ranked:
            yield _shapes(some, dict.fromkeys(_Role, size))


def _of_rank(value: Input, rank: int) -> Input:
    return Input(value.name, value.element, (None,) * rank) if value.shape is None else value


def _shapes(inputs: Iterable[Input], sizes: Mapping[_Role, int]) -> dict[str, Shape]:
    named: dict[str, int] = {}
    shapes: dict[str, Shape] = {}
    for value in inputs:
        shape: list[int] = []
        for at, dimension in enumerate(value.shape or ()):
            if isinstance(dimension, int):
                shape.append(dimension)
                continue
            size = sizes[_role(value, at)]
            shape.append(named.setdefault(dimension, size) if dimension else size)
        shapes[value.name] = tuple(shape)
    return shapes


def _role(value: Input, at: int) -> _Role:
    shape = value.shape or ()
    name = shape[at]
    if isinstance(name, str):
        for pattern, role in _SAYING:
            if pattern.fullmatch(name.lower()):
                return role
    if at == 0:
        return _Role.BATCH
    if len(shape) == _IMAGE:
        return (_CHANNELS_LAST if shape[3] in _CHANNELS else _CHANNELS_FIRST)[at]
    # What a recurrent model carries along is as a rule layers by batch by features.
    if at == 1 and len(shape) == _STATE and isinstance(shape[0], int) and isinstance(shape[2], int):
        return _Role.BATCH
    return _Role.LENGTH
