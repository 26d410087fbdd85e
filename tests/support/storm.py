"""Workers under faults, runs published to them meanwhile, and the books at the end."""

from __future__ import annotations

import hashlib
import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError
from support.assets import make_heavy
from support.books import Books, Findings, leftovers, still_there
from support.farm import Farm, RunMaker, quick, wait_for
from support.injuries import Fault, Injuries
from support.proxy import Proxy
from support.server import Server

from packhouse.producers import publish
from packhouse.schemas import RunFinished, TransientError
from packhouse.worker.ledger import connect

MIB = 1 << 20
_HEAVY = 100
"""Models from this number on are large."""
_NOT_STARTED = "Could not start worker processes"
"""Celery takes a process of the pool that is killed at the moment of the start for one that cannot start."""
_MOST_OPEN = 12
"""Runs that wait or are worked on at a time."""


@dataclass(frozen=True)
class Plan:
    """How long, how hard."""

    seed: int
    seconds: float
    kinds: Sequence[str]
    workers: int = 3
    heavy: Sequence[int] = ()
    """Sizes of large models in MiB; each is packaged a few times."""
    heavy_runs: int = 0
    repeated: int = 2
    """Runs that are packaged once more in the end, by another Packhouse on the same server."""
    settles_within: float = 180.0
    pause: float = 1.5
    """Longest time between the end of one fault and the next."""


@dataclass
class Outcome:
    """The books of a storm."""

    events: int = 0
    """For which ``publish`` returned."""
    runs: int = 0
    packages: int = 0
    faults: Counter[str] = field(default_factory=Counter[str])
    executions: int = 0
    duplicates: int = 0
    """Events and wake-ups that came more than once."""
    refused: int = 0
    """Calls of ``publish`` that did not return, and were made again."""
    findings: Findings = field(default_factory=Findings)
    slowest: tuple[float, str] = (0.0, "none")
    """Longest time from a fault until what it hit went on, and the fault."""

    def table(self) -> str:
        """For people."""
        found = self.findings
        rows = [
            ("events published", self.events),
            ("runs", self.runs),
            ("packages", self.packages),
            ("executions", self.executions),
            ("duplicates suppressed", self.duplicates),
            ("publish made again", self.refused),
            *((f"fault: {kind}", count) for kind, count in sorted(self.faults.items())),
            ("faults", self.faults.total()),
            ("lost", len(found.lost)),
            ("doubled", len(found.doubled)),
            ("half-written", len(found.half_written)),
            ("leaked", len(found.leaked)),
            ("disagreeing", len(found.disagreeing)),
            ("workers ended by themselves", len(found.ended)),
            ("longest from a fault to going on", f"{self.slowest[0]:.1f} s ({self.slowest[1]})"),
        ]
        return "\n".join(f"{name:34} {value}" for name, value in rows)


class Storm:
    """One server, some workers, one publisher."""

    def __init__(self, plan: Plan, folder: Path, samples: Path, say: Callable[[str], None] = lambda _: None) -> None:
        self._plan = plan
        self._folder = folder
        self._say = say
        self._luck = random.Random(plan.seed)  # faults and runs draw from streams of their own
        self._runs_luck = random.Random(plan.seed + 1)
        self._make = RunMaker(folder, samples)
        self._server = Server(folder / "server")
        self._stop = threading.Event()
        self._promised: list[RunFinished] = []
        self._failure: BaseException | None = None
        self._outcome = Outcome()

    def run(self) -> Outcome:
        """All of it. Raises ``AssertionError`` where work does not end at all."""
        plan = self._plan
        for number, size in enumerate(plan.heavy):
            make_heavy(self._make.model(_HEAVY + number), size * MIB)
        self._server.start()
        proxy = Proxy(self._server.port)
        proxy.start()
        farm = self._farm("storm")
        farm.extra["PACKHOUSE_REDIS_URL"] = proxy.url
        try:
            farm.start(plan.workers)
            publisher = threading.Thread(target=self._publish, args=[proxy.url, farm], name="publisher", daemon=True)
            publisher.start()
            injuries = Injuries(farm, self._server, proxy, self._luck, plan.workers)
            faults = self._inflict(injuries)
            self._stop.set()
            publisher.join(plan.settles_within)
            assert self._failure is None, self._failure
            self._settle(farm)
            self._outcome.duplicates += injuries.wakes_doubled
            self._book(farm, faults)
            self._package_again()
        finally:
            self._stop.set()
            farm.close()
            proxy.stop()
            with Redis.from_url(self._server.url, decode_responses=True) as last:
                wait_for(lambda: not list(still_there(last, farm.folder)) or self._stop.wait(5), seconds=10)
                self._outcome.findings.leaked += still_there(last, farm.folder)
            self._server.stop()
        return self._outcome

    def _farm(self, namespace: str) -> Farm:
        folder = self._folder / namespace
        (folder / "scratch").mkdir(parents=True)
        farm = Farm(quick(self._server.url, namespace, self._folder), folder)
        # Chance may kill the same process often; what is to be seen is that work goes on.
        farm.extra = {
            "PACKHOUSE_CRASH_LIMIT": "1000",
            "PACKHOUSE_LOSS_LIMIT": "1000",
            "PACKHOUSE_RETRY_LIMIT": "1000",
            "PACKHOUSE_SCRATCH": str(folder / "scratch"),
        }
        return farm

    def _inflict(self, injuries: Injuries) -> list[Fault]:
        plan, faults, begin = self._plan, list[Fault](), time.monotonic()
        bag: list[str] = []
        while (passed := time.monotonic() - begin) < plan.seconds and self._failure is None:
            bag = bag or self._luck.sample(plan.kinds, len(plan.kinds))
            kind = bag.pop()
            self._say(
                f"{passed:4.0f} s of {plan.seconds:.0f}: {len(self._promised)} runs, {len(faults)} faults, {kind}"
            )
            fault = injuries.inflict(kind)
            if fault.done:
                faults.append(fault)
                self._outcome.faults[kind] += 1
            time.sleep(self._luck.uniform(0, plan.pause))  # anywhere in the work
        return faults

    def _publish(self, url: str, farm: Farm) -> None:
        try:
            for number in itertools.count():
                if self._stop.is_set():
                    return
                event = self._event(number)
                # The same event may be sent again at any time; only what publish returned from is promised.
                for _ in range(self._runs_luck.choice((1, 1, 1, 2))):
                    if self._publish_until_it_returns(event, url, farm.settings.namespace):
                        self._outcome.events += 1
                if event not in self._promised[-1:]:
                    self._promised.append(event)
                self._wait_for_room(farm)
        except BaseException as error:  # noqa: BLE001 (told by the main thread)
            self._failure = error

    def _publish_until_it_returns(self, event: RunFinished, url: str, namespace: str) -> bool:
        while True:
            try:
                publish(event, url, namespace=namespace)
            except TransientError:
                self._outcome.refused += 1
                time.sleep(0.1)
            else:
                return True

    def _wait_for_room(self, farm: Farm) -> None:
        with connect(farm.settings.redis_url, patient=False) as redis:
            while not self._stop.wait(0.05):
                try:
                    ended = redis.hgetall(f"{farm.keys.prefix}counts")
                except RedisError:
                    continue
                done = sum(int(count) for what, count in dict(ended).items() if what in _ENDED)
                if len(self._promised) - done < _MOST_OPEN:
                    return

    def _event(self, number: int) -> RunFinished:
        luck, plan = self._runs_luck, self._plan
        heavy = bool(plan.heavy) and number % 10 == 3 and number // 10 < plan.heavy_runs
        models = [_HEAVY + number // 10 % len(plan.heavy)] if heavy else luck.sample(range(4), luck.randint(1, 3))
        packages = [{"type": "Zipfile", "name": name} for name in "ABC"[: 1 if heavy else luck.randint(1, 3)]]
        return self._make(f"run-{number}", packages=packages, models=models)

    def _settle(self, farm: Farm) -> None:
        """Wait until every run has ended, then stop the workers in good order."""
        redis, prefix = farm.redis, farm.keys.prefix

        def open_runs() -> int:
            finals = set(redis.scan_iter(f"{prefix}final:*", count=1000))
            return sum(farm.keys.final(event.run) not in finals for event in self._promised)

        def told() -> bool:
            left = open_runs()
            self._say(f"waiting for {left} runs to end")
            return not left and not redis.xlen(farm.keys.run_queue)

        begin = time.monotonic()
        while not told() and time.monotonic() - begin < self._plan.settles_within:
            time.sleep(0.2)  # what has not ended by then is lost
        outcome = self._outcome
        for worker in farm.workers:
            if worker.runs:
                worker.terminate()
            elif not worker.told_to_end and _NOT_STARTED not in worker.log.read_text("utf-8", "replace"):
                outcome.findings.ended.append(f"{worker.name} with status {worker.process.returncode}")
        for worker in farm.workers:
            worker.process.wait(60)

    def _book(self, farm: Farm, faults: list[Fault]) -> None:
        outcome, books = self._outcome, Books(farm.redis, farm.keys)
        ended = outcome.findings.ended
        outcome.findings = books.check(self._promised, folders=[self._folder / "out"], scratch=farm.folder / "scratch")
        outcome.findings.ended = ended
        outcome.runs = len(books.finals)
        outcome.packages = len(list(books.packages()))
        outcome.executions = books.executions
        outcome.duplicates += outcome.events - outcome.runs
        times = [(_went_on(books, fault), fault.kind) for fault in faults]
        outcome.slowest = max(times, default=(0.0, "none"))

    def _package_again(self) -> None:
        """By another Packhouse beside the first: of the same event it makes the same bytes."""
        light = [event for event in self._promised if "m10" not in str(event.data.footprints[0].nodes[1].model)]
        events = self._luck.sample(light, min(self._plan.repeated, len(light)))
        before = {path: _sha256(path) for event in events for path in _zips(event)}
        other = self._farm("other")
        try:
            other.start(1)
            for event in events:
                other.publish(event)
            for event in events:
                other.wait_final(event, seconds=120)
            for path, sha256 in before.items():
                if _sha256(path) != sha256:
                    self._outcome.findings.doubled.append(f"{path} was packaged twice, with different bytes")
            other.workers[0].stop()
        finally:
            other.close()
        self._outcome.findings.leaked += leftovers([self._folder / "out"])


_ENDED = ("runs:succeeded", "runs:failed", "runs:partly_succeeded", "runs:nothing_to_package", "runs:rejected")


def _went_on(books: Books, fault: Fault) -> float:
    """Seconds from a fault until the last of what it hit went on; until anything did, where it hit nothing."""
    after = [(at / 1000 - fault.at, event.id) for at, event in books.events if at / 1000 > fault.at]

    def first(*begins: str) -> float:
        return next((passed for passed, name in after if name.startswith(begins)), 0.0)

    if not fault.jobs:
        return first("")
    return max(first(f"{job}/", f"{job.partition('/')[0]}/accepted") for job in fault.jobs)


def _zips(event: RunFinished) -> list[Path]:
    return sorted(Path(event.data.output_dir).glob("*.zip"))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
