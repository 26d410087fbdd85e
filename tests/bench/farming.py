"""Runs through real workers, and what processors spend on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import psutil
from redis import Redis
from support.farm import Farm

from packhouse.producers import publish
from packhouse.schemas import RunFinished


def finish(farm: Farm, events: Sequence[RunFinished]) -> None:
    """Publish runs and wait for all their final statuses; a failed package is an error."""
    status = farm.keys.status
    before = cast("list[tuple[str, Any]]", farm.redis.xrevrange(status, count=1) or [("0-0", {})])
    last = str(before[0][0])
    for event in events:
        publish(event, farm.redis, namespace=farm.settings.namespace, durable_timeout=0)
    ended = 0
    while ended < len(events):
        answer = cast("list[Any]", farm.redis.xread({status: last}, block=60_000))
        if not answer:
            raise RuntimeError(f"{ended} of {len(events)} runs ended\n{farm.logs()[-4000:]}")
        entries = cast("list[tuple[str, dict[str, str]]]", answer[0][1])
        finals = [fields["event"] for _, fields in entries if '"packhouse.packaging.completed"' in fields["event"]]
        if failed := [final for final in finals if '"state":"failed"' in final]:
            raise RuntimeError(failed[0])
        ended += len(finals)
        last = entries[-1][0]


@dataclass(frozen=True)
class Spent:
    """Seconds of processors since something began, by who spent them."""

    server: float
    """The thread of the server that commands run in: there is one, however many processors there are."""
    mains: float
    """The main processes of the workers."""
    pools: float
    """The processes that rank and package."""
    requests: float
    """Not seconds: how often the server read from a client."""

    @classmethod
    def so_far(cls, redis: Redis, farms: Sequence[Farm]) -> Spent:
        """All that was spent so far."""
        told = redis.info("cpu")
        server = told["used_cpu_user_main_thread"] + told["used_cpu_sys_main_thread"]
        requests = float(redis.info("stats")["total_reads_processed"])
        workers = [worker for farm in farms for worker in farm.workers]
        mains = sum(_seconds(worker.main) for worker in workers)
        pools = sum(_seconds(one) for worker in workers for one in worker.pool)
        return cls(server, mains, pools, requests)

    def __sub__(self, before: Spent) -> Spent:
        return Spent(
            self.server - before.server,
            self.mains - before.mains,
            self.pools - before.pools,
            self.requests - before.requests,
        )

    def by(self, parts: float) -> Spent:
        """Of one of so many equal parts."""
        return Spent(self.server / parts, self.mains / parts, self.pools / parts, self.requests / parts)


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system
