"""How the ledger stands, asked at a scrape. Every worker tells the same: queries take the ``max`` of all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, Self

from redis import Redis
from redis.exceptions import RedisError

from packhouse.schemas.keys import Keys
from packhouse.schemas.packaging import PackagingType
from packhouse.schemas.status import RunState
from packhouse.worker.intake.reader import GROUP
from packhouse.worker.packagers.registry import QUEUES

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

_AWAY_MS: Final = 15_000
"""A worker asks the run queue for entries every second: after so long without, it is gone or cut off."""
_GROUPS: Final = 50
"""So many groups of readers of the status queue are told of at most."""


class LedgerState:
    """Numbers of one moment. Queues, streams and groups are by name."""

    def __init__(self) -> None:
        # What has not happened yet is told as 0: Prometheus sees a first time only as a change.
        self.runs = dict.fromkeys(("opened", "rejected", *map(str, RunState)), 0)
        self.packages = {(str(kind), state): 0 for kind in PackagingType for state in ("succeeded", "failed")}
        self.recoveries: dict[str, int] = {"crash": 0, "loss": 0, "handback": 0, "wake_up": 0}
        self.dead_letters = 0
        self.waiting: dict[str, int] = {}
        self.open: dict[str, int] = {}
        self.wake_ups: dict[str, int] = {}
        self.oldest: dict[str, float] = {}
        """Seconds since the oldest open job was planned; 0 where there is none."""
        self.leased = 0
        self.delayed = 0
        self.streams: dict[str, int] = {}
        self.run_queue_lag = 0
        self.run_queue_pending = 0
        self.status_lag: dict[str, int] = {}
        self.workers = 0

    @classmethod
    def read(cls, redis: Redis, keys: Keys) -> Self:
        """Ask for it, in one round trip and one more. Raises ``RedisError``."""
        state, prefix = cls(), keys.prefix
        pipeline = redis.pipeline(transaction=False)
        pipeline.time()
        pipeline.hgetall(f"{prefix}counts")
        pipeline.zcard(f"{prefix}leased")
        pipeline.zcard(f"{prefix}delayed")
        for queue in QUEUES:
            pipeline.zcard(f"{prefix}waiting:{queue}")
            pipeline.xlen(f"{prefix}open:{queue}")
            pipeline.xrange(f"{prefix}open:{queue}", count=1)
            pipeline.llen(f"{prefix}celery:{queue}")
        streams = {"runs": keys.run_queue, "status": keys.status, "progress": keys.progress}
        streams["dead_letters"] = keys.dead_letters
        for stream in streams.values():
            pipeline.xlen(stream)
        (seconds, micros), counts, state.leased, state.delayed, *rest = pipeline.execute()
        answers: Iterator[Any] = iter(rest)
        for queue in QUEUES:
            state.waiting[queue], state.open[queue] = next(answers), next(answers)
            first = next(answers)
            planned = int(first[0][0].partition("-")[0]) / 1000 if first else None
            state.oldest[queue] = max(0.0, seconds + micros / 1e6 - planned) if planned is not None else 0.0
            state.wake_ups[queue] = next(answers)
        state.streams = {name: next(answers) for name in streams}
        state._count(counts)
        state._look_at_groups(redis, keys)
        return state

    def _count(self, counts: dict[str, str]) -> None:
        for name, text in counts.items():
            what, *labels = name.split(":")
            if what == "runs":
                self.runs[labels[0]] = int(text)
            elif what == "packages":
                self.packages[labels[0], labels[1]] = int(text)
            elif what == "recoveries":
                self.recoveries[labels[0]] = int(text)
            elif what == "dead_letters":
                self.dead_letters = int(text)

    def _look_at_groups(self, redis: Redis, keys: Keys) -> None:
        pipeline = redis.pipeline(transaction=False)
        pipeline.xinfo_groups(keys.run_queue)
        pipeline.xinfo_consumers(keys.run_queue, GROUP)
        pipeline.xinfo_groups(keys.status)
        own, consumers, readers = pipeline.execute(raise_on_error=False)
        # A stream that nothing was put into yet, or a group that nobody has made, answers with an error.
        for group in own if isinstance(own, list) else []:
            if group["name"] == GROUP:
                self.run_queue_lag, self.run_queue_pending = group["lag"] or 0, group["pending"]
        self.workers = sum(one["idle"] < _AWAY_MS for one in consumers) if isinstance(consumers, list) else 0
        for group in (readers if isinstance(readers, list) else [])[:_GROUPS]:
            self.status_lag[group["name"]] = group["lag"] or 0


class LedgerCollector:
    """Asks the ledger at every scrape."""

    def __init__(self, redis: Redis, keys: Keys, worker: str, version: str) -> None:
        self._redis = redis
        self._keys = keys
        self._labels = [worker, version]

    def collect(self) -> Iterator[Metric]:
        """All that can be told; where the ledger does not answer, just that."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        info = GaugeMetricFamily("packhouse_worker_info", "This worker.", labels=["worker", "version"])
        info.add_metric(self._labels, 1)
        yield info
        try:
            state = LedgerState.read(self._redis, self._keys)
        except RedisError:
            yield GaugeMetricFamily("packhouse_ledger_up", "Whether the server answers this worker.", value=0)
            return
        yield GaugeMetricFamily("packhouse_ledger_up", "Whether the server answers this worker.", value=1)
        runs = CounterMetricFamily("packhouse_runs", "Runs, by state: opened, and how they ended.", labels=["state"])
        for name, count in state.runs.items():
            runs.add_metric([name], count)
        yield runs
        packages = CounterMetricFamily("packhouse_packages", "Packages that were settled.", labels=["type", "state"])
        for labels, count in state.packages.items():
            packages.add_metric(labels, count)
        yield packages
        recoveries = CounterMetricFamily(
            "packhouse_recoveries", "Leases that ended without their work, and lost wake-ups.", labels=["kind"]
        )
        for kind, count in state.recoveries.items():
            recoveries.add_metric([kind], count)
        yield recoveries
        yield CounterMetricFamily(
            "packhouse_dead_letters", "What was put into the dead letters.", value=state.dead_letters
        )
        for name, told, values in (
            ("waiting_jobs", "Jobs that wait for a worker of the queue.", state.waiting),
            ("open_jobs", "Jobs of the queue that are not settled: waiting, leased or delayed.", state.open),
            ("oldest_job_seconds", "Age of the oldest open job of the queue.", state.oldest),
            ("wake_ups", "Messages in the queue of Celery.", state.wake_ups),
        ):
            gauge = GaugeMetricFamily(f"packhouse_{name}", told, labels=["queue"])
            for queue, value in values.items():
                gauge.add_metric([queue], value)
            yield gauge
        yield GaugeMetricFamily("packhouse_leased_jobs", "Jobs that a process works on.", value=state.leased)
        yield GaugeMetricFamily("packhouse_delayed_jobs", "Jobs that wait to be tried again.", value=state.delayed)
        entries = GaugeMetricFamily("packhouse_stream_entries", "Length of a stream.", labels=["stream"])
        for stream, length in state.streams.items():
            entries.add_metric([stream], length)
        yield entries
        yield GaugeMetricFamily(
            "packhouse_run_queue_lag", "Events that no worker has read yet.", value=state.run_queue_lag
        )
        yield GaugeMetricFamily(
            "packhouse_run_queue_pending", "Events that were read and are not in the ledger yet.",
            value=state.run_queue_pending,
        )  # fmt: skip
        lag = GaugeMetricFamily(
            "packhouse_status_lag", "Events of the status queue that a group has not read.", labels=["group"]
        )
        for group, count in state.status_lag.items():
            lag.add_metric([group], count)
        yield lag
        yield GaugeMetricFamily("packhouse_workers", "Workers that read the run queue.", value=state.workers)
