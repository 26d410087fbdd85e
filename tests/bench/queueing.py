"""Simulation of queues: processes that wait for stations and for each other, on a clock that jumps between events."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Protocol

Process = Generator["Wait", Any, None]
"""Yields what it waits for; what comes of that is what the ``yield`` gives."""


class Wait(Protocol):
    """Something that a process waits for."""

    def begin(self, resume: Callable[[Any], None]) -> None: ...


class Simulation:
    """The clock, in seconds, and what is to happen."""

    def __init__(self) -> None:
        self.now = 0.0
        self._coming: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Of what happens at the same moment, what was asked for first comes first."""
        heapq.heappush(self._coming, (self.now + seconds, next(self._order), action))

    def start(self, process: Process) -> None:
        """Let a process run now, until it waits."""

        def resume(value: object = None) -> None:
            try:
                wait = process.send(value)
            except StopIteration:
                return
            wait.begin(resume)

        resume()

    def run(self, until: Callable[[], bool]) -> None:
        """Go on until the condition holds after an event, or nothing is left to happen."""
        while self._coming and not until():
            self.now, _, action = heapq.heappop(self._coming)
            action()


@dataclass
class Pause:
    """So many seconds."""

    simulation: Simulation
    seconds: float

    def begin(self, resume: Callable[[Any], None]) -> None:
        self.simulation.after(self.seconds, lambda: resume(None))


class Station:
    """Servers that take what comes in the order in which it comes."""

    def __init__(self, simulation: Simulation, servers: int = 1, speed: Callable[[int], float] = lambda _: 1.0) -> None:
        """``speed`` of each server where so many are busy; what is begun keeps the speed that it began with."""
        self.servers = servers
        self.arrived = 0
        self.left = 0
        self._simulation = simulation
        self._speed = speed
        self._busy = 0
        self._queue: deque[tuple[float, Callable[[Any], None]]] = deque()
        self._since = 0.0
        self._busy_seconds = 0.0
        self._present_seconds = 0.0

    def work(self, seconds: float) -> Wait:
        """To be served for so long."""
        return _Work(self, seconds)

    def busy_seconds(self) -> float:
        """Of all servers, until now."""
        self._account()
        return self._busy_seconds

    def present_seconds(self) -> float:
        """Of all that was served, is served or waits, until now: by Little's law the number present times the time."""
        self._account()
        return self._present_seconds

    def _account(self) -> None:
        passed = self._simulation.now - self._since
        self._since = self._simulation.now
        self._busy_seconds += passed * self._busy
        self._present_seconds += passed * (self._busy + len(self._queue))

    def arrive(self, seconds: float, resume: Callable[[Any], None]) -> None:
        self._account()
        self.arrived += 1
        if self._busy < self.servers:
            self._serve(seconds, resume)
        else:
            self._queue.append((seconds, resume))

    def _serve(self, seconds: float, resume: Callable[[Any], None]) -> None:
        self._busy += 1

        def served() -> None:
            self._account()
            self._busy -= 1
            self.left += 1
            if self._queue:
                self._serve(*self._queue.popleft())
            resume(None)

        self._simulation.after(seconds / self._speed(self._busy), served)


@dataclass
class _Work:
    station: Station
    seconds: float

    def begin(self, resume: Callable[[Any], None]) -> None:
        self.station.arrive(self.seconds, resume)


class Line:
    """Things that wait for takers, or takers for things; first come, first served."""

    def __init__(self) -> None:
        self._things: deque[Any] = deque()
        self._takers: deque[Callable[[Any], None]] = deque()

    def put(self, thing: object) -> None:
        """Whoever waits goes on at once."""
        if self._takers:
            self._takers.popleft()(thing)
        else:
            self._things.append(thing)

    def begin(self, resume: Callable[[Any], None]) -> None:
        """A line is itself what a process waits for to take something."""
        if self._things:
            resume(self._things.popleft())
        else:
            self._takers.append(resume)
