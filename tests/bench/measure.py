"""Measuring two ways of doing the same, turn about, on a machine that does other things too."""

from __future__ import annotations

import gc
import os
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

_LARGE = 4 << 20
"""What is smaller weighs little, and of a thousand files each would wait for the disk."""


@dataclass(frozen=True)
class Usage:
    """What something took, with what the processes took that it waited for."""

    wall: float
    """Seconds by the clock."""
    cpu: float
    """Seconds of processors, in the system and outside it."""
    read: int | None = None
    """Bytes asked of files and pipes, whether they came from a disk or from memory. None where it is not known."""
    written: int | None = None
    """Bytes given to files and pipes."""
    peak: int | None = None
    """Bytes of resident memory at most, over what the process had before it began."""


@dataclass(frozen=True)
class Measured:
    """What a row found."""

    values: tuple[float, ...]
    """One of each pair; the median is held against the row's target."""
    ours: Usage | None = None
    """Medians, where they were taken."""
    peer: Usage | None = None
    note: str = ""
    figures: Mapping[str, float] = field(default_factory=dict[str, float])
    """More numbers, for programs: they are in the JSON only."""

    @property
    def median(self) -> float:
        return statistics.median(self.values)


def by_clock(usage: Usage) -> float:
    return usage.wall


def by_cpu(usage: Usage) -> float:
    return usage.cpu


@dataclass(frozen=True)
class Pairs:
    """Ours and the other way, taken in turns: what disturbs one disturbs the other."""

    count: int

    def compare(
        self,
        ours: Callable[[], Usage],
        peer: Callable[[], Usage],
        of: Callable[[Usage], float] = by_clock,
        *,
        inverse: bool = False,
        warm: bool = True,
        note: str = "",
    ) -> Measured:
        """Ratios of ours to the other's; ``inverse``, of the other's to ours ("so many times less").

        ``warm`` takes each once before, unmeasured: files come to memory, modules and pools into being.
        """
        if warm:
            peer()
            ours()
        mine: list[Usage] = []
        other: list[Usage] = []
        for turn in range(self.count):
            for way, results in ((ours, mine), (peer, other))[:: 1 if turn % 2 else -1]:
                gc.collect()
                results.append(way())
        ratios = tuple(of(m) / of(o) for m, o in zip(mine, other, strict=True))
        if inverse:
            ratios = tuple(1 / ratio for ratio in ratios)
        return Measured(ratios, median_of(mine), median_of(other), note)


def median_of(usages: list[Usage]) -> Usage:
    """The medians, each figure for itself; None where one lacks it."""

    def middle(name: str) -> float | int | None:
        values = [getattr(usage, name) for usage in usages]
        return None if None in values else statistics.median(values)

    return Usage(**{one.name: middle(one.name) for one in fields(Usage)})  # pyright: ignore[reportArgumentType] -- numbers all


def used(action: Callable[[], object]) -> Usage:
    """What an action takes in this process and in those that it waits for."""
    counted, cpu, wall = moved(), _cpu(), time.perf_counter()
    action()
    wall, cpu = time.perf_counter() - wall, _cpu() - cpu
    read, written = (now - before for now, before in zip(moved(), counted, strict=True))
    return Usage(wall, cpu, read, written)


def settle(*paths: Path) -> None:
    """See that what was written is on disk and gone, so that it does not weigh on what is measured next."""
    for path in paths:
        if path.stat().st_size > _LARGE:
            fd = os.open(path, os.O_RDONLY)
            os.fsync(fd)
            os.close(fd)
        path.unlink()


def _cpu() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def moved(process: int | Literal["self"] = "self") -> tuple[int, int]:
    """Bytes read and written by a process, and by those that it waited for (Linux alone counts them)."""
    lines = dict(line.split(": ") for line in Path(f"/proc/{process}/io").read_text(encoding="ascii").splitlines())
    return int(lines["rchar"]), int(lines["wchar"])
