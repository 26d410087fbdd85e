"""Runs a target on one input after another, keeps what reaches lines that none reached, and makes crashes small."""

from __future__ import annotations

import signal
import sys
import time
import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from random import Random
from types import CodeType, FrameType
from typing import Any, Final

from fuzz.mutation import Mutate

LONGEST: Final = 20.0
"""Seconds that a reader may take for an input; a thousandth of it is usual."""
_SECONDS: Final = 2.0
_SECONDS_OF_A_MIB: Final = 20.0
"""Of a processor, that a reader may take for an input: for a small one, and for each MiB more. More grows faster than
what is read, most likely, and counts as a crash."""
_ROOM: Final = 300
"""Inputs that are kept to be changed further, beside the first ones."""
_WATCHED: Final = 4
"""Of so many inputs one is watched."""
_SLOW: Final = "slow"
_TRIES: Final = 400
"""Of making a crash smaller."""


class Hangs(BaseException):
    """A reader did not come to an end; no handler of the reader's may take it for an error of its own."""


@dataclass(frozen=True)
class Target:
    """A reader, real inputs for it, and how these are changed. ``read`` raises whatever breaks the law."""

    name: str
    read: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    mutate: Mutate


@dataclass
class Crash:
    """An input that broke the law, and how."""

    target: str
    data: bytes
    kind: str
    trace: str = field(repr=False, default="")


@dataclass
class Books:
    """What came of fuzzing a target."""

    target: str
    executions: int = 0
    lines: int = 0
    """Of the product that were reached."""
    kept: int = 0
    slowest: float = 0.0
    """Seconds of a processor that one input took at most; of the unwatched ones, for watching takes longer."""
    slowest_bytes: int = 0
    """Of that input."""
    crashes: dict[str, Crash] = field(default_factory=dict[str, Crash])


def inputs(target: Target, random: Random, pool: list[bytes]) -> Iterator[bytes]:
    """Seeds as they are, then changed ones without an end."""
    yield from target.seeds
    while True:
        data = random.choice(pool if random.randrange(3) else target.seeds)
        for _ in range(random.choice((1, 1, 1, 2, 4))):
            data = target.mutate(random, data)
        yield data


def fuzz(target: Target, seed: int, *, seconds: float | None = None, executions: int | None = None) -> Books:
    """Run a target for so long, or so often. The same seed and number of executions give the same inputs."""
    random, books, pool, seen = Random(f"{seed} {target.name}"), Books(target.name), list(target.seeds), _Reached()
    began = time.monotonic()
    for data in inputs(target, random, pool):
        if executions is not None and books.executions >= executions:
            break
        if seconds is not None and time.monotonic() - began > seconds:
            break
        # Watching takes several times what reading does.
        watched = not random.randrange(_WATCHED)
        started = time.process_time()
        with seen if watched else nullcontext():
            crash = run(target, data)
        took = time.process_time() - started
        books.executions += 1
        if not watched and took > books.slowest:
            books.slowest, books.slowest_bytes = took, len(data)
        if not watched and crash is None and took > allowed_seconds(len(data)):
            books.crashes.setdefault(_SLOW, Crash(target.name, data, _SLOW, f"{took:.1f} s for {len(data)} bytes"))
        if seen.more() and len(pool) < _ROOM + len(target.seeds):
            pool.append(data)
            books.kept += 1
        if crash is not None and crash.kind not in books.crashes:
            books.crashes[crash.kind] = smaller(target, crash)
    books.lines = len(seen.lines)
    return books


def run(target: Target, data: bytes) -> Crash | None:
    """One input; the crash, if it is one."""
    try:
        with within(LONGEST):
            target.read(data)
    except (Exception, Hangs) as error:  # noqa: BLE001 (what else it raises is what is looked for)
        return Crash(target.name, data, _kind(error), "".join(traceback.format_exception(error)))
    return None


def allowed_seconds(size: int) -> float:
    """Seconds of a processor that a reader may take for so many bytes."""
    return _SECONDS + _SECONDS_OF_A_MIB * size / (1 << 20)


def smaller(target: Target, crash: Crash) -> Crash:
    """The same crash by less: pieces are left out as long as it stays one of its kind."""
    piece, tries = max(len(crash.data) // 2, 1), 0
    while piece and tries < _TRIES:
        at = 0
        while at < len(crash.data) and tries < _TRIES:
            tries += 1
            less = run(target, crash.data[:at] + crash.data[at + piece :])
            if less is not None and less.kind == crash.kind:
                crash = less
            else:
                at += piece
        piece //= 2
    return crash


@contextmanager
def within(seconds: float) -> Generator[None]:
    """Raises ``Hangs`` where it takes longer; for the main thread."""

    def ring(*_: object) -> None:
        raise Hangs(f"no end within {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _kind(error: BaseException) -> str:
    """Crashes of one kind are one defect, most likely: the error, and the line of ours that it came from."""
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_ours(frame.filename)]
    where = f"{ours[-1].filename.rpartition('/packhouse/')[2]}:{ours[-1].lineno}" if ours else "the target"
    return f"{type(error).__name__} in {where}"


def _is_ours(path: str) -> bool:
    return "/packhouse/" in path and "/tests/" not in path


class _Reached:
    """Lines of the product that any input reached."""

    def __init__(self) -> None:
        self.lines: set[tuple[CodeType, int]] = set()
        self._told = 0
        self._before: Any = None

    def more(self) -> bool:
        """Whether there are more than when this was last asked."""
        before, self._told = self._told, len(self.lines)
        return self._told > before

    def __enter__(self) -> None:
        self._before = sys.gettrace()
        sys.settrace(self._call)

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)

    def _call(self, frame: FrameType, event: str, argument: object) -> Any:
        return self._line if _is_ours(frame.f_code.co_filename) else None

    def _line(self, frame: FrameType, event: str, argument: object) -> Any:
        self.lines.add((frame.f_code, frame.f_lineno))
        return self._line
