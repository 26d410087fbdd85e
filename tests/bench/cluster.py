"""A cluster as queues: what workers, server and storage do for runs, each taking as long as was measured.

What is assumed:

- The server is one thread that serves requests in the order in which they come. What a run takes of it was measured
  with few workers, when it wakes up for each request by itself; a server that many ask wakes up less often, so that it
  carries more than is said here: at most what ``server_full`` says. A run's share comes in six equal requests.
- Of the workers ``READERS`` wait for events; the server looks at each that waits whenever one comes
  (``server_per_reader``).
- What a worker asks the server for without having work costs what a poll of one of a thousand does. One sweep in
  each period, of whichever worker. A package at work tells its progress four times a second, and renews its lease each
  fifth of the time it holds for.
- A run is one package. One process ranks and packages it in one go; its seconds of CPU do not depend on how many others
  there are. The main process of a worker takes half its seconds for the intake and half for the handing out.
- Packages are written to one storage that all share, in pieces, one after the other. Reading is not counted: the
  measured files lay in memory.
- Each worker has a machine of its own, with a processor for each process. Where all are on one machine, as when it was
  measured, they share with the server what other work leaves of its processors, and wait for no disk (no fsync).
- Nothing fails, nothing is lost, the network takes no time.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bench.queueing import Line, Pause, Process, Simulation, Station

from packhouse.worker.ledger import READERS

REQUESTS: Final = 6
"""Of a run to the server: publishing, intake, taking, ranked, taken again, settled."""
PIECE: Final = 4 << 20
"""Bytes that are written to the storage at a time."""
SLICE: Final = 0.02
"""Seconds for which a shared processor is given to one process."""
EVERY: Final = 2.0
"""Seconds between two rounds of recovery, as the settings have it by default."""
TELLS: Final = 0.25
"""Seconds between two words about the progress of a package (``keeper.py``)."""


@dataclass(frozen=True)
class Times:
    """What was measured: seconds, bytes, runs a second."""

    server: float
    """For each run, of the server's thread."""
    server_full: float
    """What it takes at least: its scripts, and each request as cheap as the poll of one of a thousand workers."""
    server_idle: float
    """For each worker and second, of the server's thread."""
    server_per_reader: float
    """For each event and worker that waits for one."""
    command: float
    """One small command of many."""
    renew: float
    """The script that renews a lease, on top of that."""
    sweep: float
    bring_back: float
    """Each expired lease that a sweep brings back."""
    swept: int
    """Expired leases that a sweep brings back at most."""
    main: float
    """For each run, of the main processes of workers."""
    pool: float
    """For each run, of the processes that rank and package."""
    package_bytes: float
    disk: float
    """Bytes a second."""
    share: float
    """Of a processor, that other work on the machine left to one process."""
    side_by_side: float
    """How much two processes got done on the machine, one alone being 1."""
    processors: int
    runs: int
    """Published at once when the rates were measured."""
    rates: Mapping[int, float]
    """Runs a second of one worker and of two."""

    def speed(self, busy: int) -> float:
        """Of one of so many busy processors of the machine, against one that has nothing else to do."""
        return self.share * (1.0 if busy == 1 else self.side_by_side / 2)

    @classmethod
    def of(cls, rows: Mapping[str, Mapping[str, Any]], mix: str) -> Times:
        """From the figures of a benchmark's rows. Raises ``KeyError`` where a row is missing."""
        run, waiting, sweep = (rows[name]["figures"] for name in (mix, "grow-readers", "grow-sweep"))
        ledger = rows["grow-open-runs"]["figures"]
        micro = 1e-6
        polls = rows["grow-polls"]["figures"]
        return cls(
            server=run["server_seconds_per_run"],
            server_full=(ledger["at_1"] + run["requests_per_run"] * polls["at_1000"]) * micro,
            server_idle=(run["idle_requests"] * polls["at_1000"] + sweep["round_us"] / EVERY) * micro,
            server_per_reader=waiting["server_us_per_reader"] * micro,
            command=polls["at_1000"] * micro,
            renew=ledger["renew_us"] * micro,
            sweep=sweep["sweep_us_at_10000"] * micro,
            bring_back=sweep["bring_back_us_at_10000"] * micro,
            swept=int(sweep["swept"]),
            main=run["main_seconds_per_run"],
            pool=run["pool_seconds_per_run"],
            package_bytes=run["package_bytes"],
            disk=run["disk_bytes_per_second"],
            share=run["processor_share"],
            side_by_side=run["side_by_side"],
            processors=int(run["processors"]),
            runs=int(run["runs"]),
            rates={1: run["runs_per_second_1"], 2: run["runs_per_second_2"]},
        )


@dataclass(frozen=True)
class Setting:
    """How a cluster is set up."""

    workers: int
    processes: int = 1
    """Of each worker, for ranking and packaging."""
    one_machine: bool = False
    storage: float = float("inf")
    """Bytes a second of the storage that packages are written to."""
    sweep_every: float = EVERY
    lease: float = 30.0


@dataclass(frozen=True)
class Outcome:
    """Of the middle of a simulation, when the cluster was neither filling nor emptying."""

    rate: float
    """Runs a second that reached their final status."""
    used: Mapping[str, float]
    """Share of the time, by what was used."""
    stays: list[float]
    """Seconds from publishing to the final status, ascending."""

    @property
    def fullest(self) -> str:
        return max(self.used, key=lambda name: self.used[name])


class Cluster:
    """One simulation of a number of runs."""

    def __init__(self, times: Times, setting: Setting, seed: int = 1) -> None:
        self._times = times
        self._setting = setting
        self._dice = random.Random(seed)
        self._simulation = sim = Simulation()
        shared = Station(
            sim, times.processors, lambda busy: times.share * (1.0 if busy == 1 else times.side_by_side / 2)
        )
        one = setting.one_machine
        count = setting.workers
        self._server = shared if one else Station(sim)
        self._storage = Station(sim)
        self._mains = [shared] * count if one else [Station(sim) for _ in range(count)]
        self._pools = [shared] * count if one else [Station(sim, setting.processes) for _ in range(count)]
        self._slice = SLICE if one else float("inf")
        self._request = times.server / REQUESTS
        self._arriving, self._waiting = Line(), Line()
        self._stays: list[tuple[float, float]] = []

    def run(self, runs: int, rate: float = float("inf")) -> Outcome:
        """Publish so many runs, at random times with so many a second in the mean; without a rate, all at once."""
        sim, ended, setting = self._simulation, self._stays, self._setting
        for worker in range(setting.workers):
            sim.start(self._beat())
            sim.start(self._intake(worker))
            for _ in range(setting.processes):
                sim.start(self._process(worker))
        sim.start(self._sweep())
        sim.start(self._publish(runs, rate))
        # All at once is measured as a whole where nothing else is known of the middle of the real one.
        first, last = (0, runs) if setting.one_machine else (runs // 5, runs * 4 // 5)
        sim.run(lambda: len(ended) >= first)
        began, busy = sim.now, self._busy()
        sim.run(lambda: len(ended) >= last)
        seconds = sim.now - began
        used = {name: (now - busy[name]) / seconds for name, now in self._busy().items()}
        return Outcome((last - first) / seconds, used, sorted(stay for _, stay in ended[first:last]))

    def _busy(self) -> dict[str, float]:
        setting = self._setting
        if setting.one_machine:
            return {"processors": self._server.busy_seconds() / self._server.servers}
        return {
            "server": self._server.busy_seconds(),
            "storage": self._storage.busy_seconds(),
            "workers": sum(pool.busy_seconds() for pool in self._pools) / setting.workers / setting.processes,
        }

    def _publish(self, runs: int, rate: float) -> Process:
        """One after the other, or by an engine each, which do not wait for each other."""
        for _ in range(runs):
            if rate == float("inf"):
                yield from self._publish_one()
            else:
                yield Pause(self._simulation, self._dice.expovariate(rate))
                self._simulation.start(self._publish_one())

    def _publish_one(self) -> Process:
        times, came = self._times, self._simulation.now
        looked = 0.0 if self._setting.one_machine else times.server_per_reader * min(self._setting.workers, READERS)
        yield self._server.work(self._request + looked)
        self._arriving.put(came)

    def _intake(self, worker: int) -> Process:
        times = self._times
        while True:
            came = yield self._arriving
            yield from self._compute(self._mains[worker], times.main / 2)
            yield self._server.work(self._request)
            self._waiting.put(came)

    def _process(self, worker: int) -> Process:
        """Rank, package, settle, for ever."""
        times, sim, pool = self._times, self._simulation, self._pools[worker]
        request = self._request
        pieces = max(1, round(times.package_bytes / PIECE))
        while True:
            came = yield self._waiting
            told = renewed = sim.now
            yield self._server.work(request)
            yield from self._compute(self._mains[worker], times.main / 2)
            yield self._server.work(request)
            yield self._server.work(request)
            for _ in range(pieces):
                yield from self._compute(pool, times.pool / pieces)
                yield self._storage.work(times.package_bytes / pieces / self._setting.storage)
                if sim.now - told >= TELLS:
                    told = sim.now
                    yield self._server.work(times.command)
                if sim.now - renewed >= self._setting.lease / 5:
                    renewed = sim.now
                    yield self._server.work(times.command + times.renew)
            yield self._server.work(request)
            self._stays.append((sim.now, sim.now - came))

    def _compute(self, station: Station, seconds: float) -> Process:
        while seconds > 0:
            part = min(self._slice, seconds)
            seconds -= part
            yield station.work(part)

    def _beat(self) -> Process:
        """What a worker costs the server by being there."""
        every = self._setting.sweep_every
        yield Pause(self._simulation, self._dice.uniform(0, every))
        for _ in itertools.count():
            yield self._server.work(self._times.server_idle * every)
            yield Pause(self._simulation, every)

    def _sweep(self) -> Process:
        for _ in itertools.count():
            yield Pause(self._simulation, self._setting.sweep_every)
            yield self._server.work(self._times.command + self._times.sweep)


def limits(times: Times, setting: Setting) -> dict[str, float]:
    """Runs a second that each would carry by itself: what is left of it, by what a run takes of it.

    That a package which waits for the storage tells its progress longer is left out.
    """
    workers = setting.workers
    idle = workers * times.server_idle + (times.command + times.sweep) / setting.sweep_every
    return {
        "server": max(0.0, 1 - idle) / (times.server + min(workers, READERS) * times.server_per_reader),
        "storage": setting.storage / times.package_bytes,
        "workers": workers * setting.processes / times.pool,
    }
