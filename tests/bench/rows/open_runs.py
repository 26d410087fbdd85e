"""What the server computes for one run, a round of recovery and a question, while other runs are open."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

from bench.growing import Growth, grown
from bench.measure import Measured
from bench.registry import Bench, at_most, row
from bench.rows.events import SAMPLES
from redis import Redis
from support.farm import RunMaker, quick
from support.ledger import open_alone
from support.server import Server

from packhouse.schemas import RunRef
from packhouse.schemas.keys import run_key
from packhouse.worker.identity import Identity
from packhouse.worker.intake.reader import GROUP
from packhouse.worker.ledger import RANK_JOB, Arrival, Lease, Ledger, PlannedJob, Wake, connect
from packhouse.worker.ledger.standing import look
from packhouse.worker.metrics.ledger import LedgerState
from packhouse.worker.packagers.registry import QUEUES
from packhouse.worker.settings import Settings

OPEN: Final = (1, 100, 10_000)
CALLS: Final = 50
"""Runs that go their way, and questions asked, for one figure."""
LEASED: Final = 1_000
"""Of many open runs so many are worked on."""
TRIES: Final = 5
"""The least of them counts: what else the machine does only adds."""
SLOTS: Final = 2
"""Of them so many on each host."""
QUEUE: Final = "ranking"
READERS: Final = (1, 10, 100, 1_000)
ME: Final = Identity.of_worker("w1@bench")
SWEPT: Final = 200
"""Expired leases that one sweep brings back at most (``sweep.lua``)."""
CONSTANT: Final = at_most(1.5, "times")


@dataclass
class Busy:
    """A server with open runs, each with its wake-up in the queue of Celery, and one client."""

    settings: Settings
    ledger: Ledger
    event: str
    count: int
    """Of open runs, once ``fill`` is done."""
    memory: float = 0.0
    """Bytes of the server for each open run."""
    made: int = 0
    costs: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    def open(self) -> Wake:
        self.made += 1
        arrival = Arrival(RunRef(source="/bench", id=f"r{self.made}"), "e", f"sha256:{self.made:064}", self.event)
        wake = open_alone(self.ledger, arrival).wake
        assert wake is not None
        return wake

    def fill(self) -> None:
        redis, count = self.ledger.redis, self.count
        before = _info(redis, "memory", "used_memory")
        wakes = [self.open() for _ in range(count)]
        for wake in wakes:
            redis.lpush(f"{self.ledger.keys.prefix}celery:{QUEUE}", json.dumps(wake.run))
        for number, wake in enumerate(wakes[: min(count // 10, LEASED)]):
            self.ledger.lease(wake.run, RANK_JOB, "t", replace(ME, place=f"host-{number // SLOTS}"))
        self.memory = (_info(redis, "memory", "used_memory") - before) / count

    def scripts(self) -> float:
        """Microseconds that the scripts take for one run of one package, from its opening to its final status."""
        ledger, plan = self.ledger, json.dumps({"entries": ["x" * 100] * 20})
        wakes: list[Wake] = []
        leases: list[Lease] = []
        one = PlannedJob("0", "package.zipfile", json.dumps({"type": "Zipfile", "name": "P"}), "P")
        result = json.dumps({"type": "Zipfile", "name": "P", "state": "succeeded"})

        def take(job: str) -> None:
            leases[:] = [cast("Lease", ledger.lease(wake.run, job, "t", ME)) for wake in wakes]

        def planned() -> None:
            for lease in leases:
                ledger.plan(
                    lease,
                    accepted="{}",
                    candidates="[]",
                    left_out="[]",
                    counts='{"candidates":0}',
                    state="succeeded",
                    jobs=[one],
                )

        def settled() -> None:
            for lease in leases:
                ledger.settle(lease, "succeeded", result)

        return sum(
            self.timed(name, action, "evalsha")
            for name, action in (
                ("open", lambda: wakes.extend(self.open() for _ in range(CALLS))),
                ("lease_rank", lambda: take(RANK_JOB)),
                ("plan", planned),
                ("lease_package", lambda: take("0")),
                ("freeze", lambda: [ledger.freeze(lease, plan, lease.run) for lease in leases]),
                ("renew", lambda: [ledger.renew(lease) for lease in leases]),
                ("settle", settled),
            )
        )

    def recovery(self) -> float:
        """Microseconds of a worker's round and of a sweep that finds nothing lost."""
        ledger = self.ledger
        beat = self.timed(
            "round",
            lambda: [ledger.round(ME, alive=8, sweep=2, queues=QUEUES) for _ in range(CALLS)],
            "evalsha",
        )
        return beat + self.timed("sweep", lambda: [ledger.sweep(QUEUES, expired=True) for _ in range(CALLS)], "evalsha")

    def bring_back(self) -> None:
        """Time a sweep that finds as many expired leases as it takes at a time, for each of them."""
        short = Ledger(self.ledger.redis, self.settings.model_copy(update={"lease_seconds": 0.001}))
        for wake in [self.open() for _ in range(SWEPT)]:
            short.lease(wake.run, RANK_JOB, "t", ME)
        time.sleep(0.05)
        brought: list[Wake] = []
        self.timed("bring_back", lambda: brought.extend(short.sweep([], expired=True).due), "evalsha", SWEPT)
        if len(brought) != SWEPT:
            raise RuntimeError(f"{len(brought)} of {SWEPT} leases were brought back")

    def questions(self) -> float:
        """Microseconds of where a run stands, and of a scrape of the metrics."""
        redis, keys = self.ledger.redis, self.ledger.keys
        run = RunRef(source="/bench", id=f"r{self.count}")
        assert redis.exists(f"{keys.prefix}run:{run_key(run)}")
        asked = self.timed("look", lambda: [look(redis, "bench", run, 600) for _ in range(CALLS)], "evalsha")
        return asked + self.timed("scrape", lambda: [LedgerState.read(redis, keys) for _ in range(CALLS)])

    def timed(self, name: str, action: Callable[[], object], command: str = "", calls: int = CALLS) -> float:
        """Microseconds of the server's commands (of one, or of all) for each of the calls."""
        redis = self.ledger.redis
        redis.config_resetstat()
        action()
        found = cast("dict[str, dict[str, Any]]", redis.info("commandstats"))
        spent = sum(
            row["usec"]
            for key, row in found.items()
            if command in key and key not in {"cmdstat_info", "cmdstat_config|resetstat"}
        )
        self.costs.setdefault(name, []).append(spent / calls)
        return spent / calls


@contextlib.contextmanager
def servers(bench: Bench) -> Generator[dict[int, Busy]]:
    """A server for each number of open runs."""
    event = RunMaker(bench.folder, SAMPLES)("r", candidates=4).to_wire().decode()
    with contextlib.ExitStack() as stack:
        busy: dict[int, Busy] = {}
        for count in OPEN:
            server = Server(bench.folder / f"{count}")
            server.start()
            stack.callback(server.stop)
            settings = quick(server.url, "bench", bench.folder).model_copy(update={"lease_seconds": 3600.0})
            ledger = Ledger(stack.enter_context(connect(server.url)), settings)
            ledger.redis.xgroup_create(ledger.keys.run_queue, GROUP, id="0", mkstream=True)
            busy[count] = Busy(settings, ledger, event, count)
            busy[count].fill()
        yield busy


def over_open(bench: Bench, cost: Callable[[Busy], float]) -> Measured:
    with servers(bench) as busy:

        def least(count: int) -> float:
            return min(cost(busy[count]) for _ in range(TRIES))

        growth = grown(OPEN, bench.count, "microseconds of the server", least)
        busy[OPEN[-1]].bring_back()
        few, many = busy[OPEN[0]], busy[OPEN[-1]]
        figures = {f"{name}_us": min(costs) for name, costs in few.costs.items()}
        figures |= {f"{name}_us_at_{OPEN[-1]}": min(costs) for name, costs in many.costs.items()}
    return Growth(
        growth.sizes, growth.turns, growth.unit, figures | {"bytes_of_open_run": many.memory, "swept": SWEPT}
    ).flat()


@row("grow-open-runs", "scripts for a run while 1, 100 and 10,000 others are open", target=CONSTANT, limit="1")
def scripts(bench: Bench) -> Measured:
    return over_open(bench, Busy.scripts)


@row("grow-sweep", "a round and a sweep of recovery while 1, 100 and 10,000 runs are open", target=CONSTANT, limit="1")
def sweep(bench: Bench) -> Measured:
    return over_open(bench, Busy.recovery)


@row(
    "grow-status",
    "where a run stands and a scrape while 1, 100 and 10,000 are open",
    target=CONSTANT,
    limit="1",
)
def questions(bench: Bench) -> Measured:
    return over_open(bench, Busy.questions)


def _info(redis: Redis, section: str, name: str) -> float:
    return float(redis.info(section)[name])
