"""``python -m bench.simulate BENCH.json``: what a cluster would carry, from what ``make bench-growth`` measured.

``cluster.py`` says what is assumed. First the model is held against the two points that can be measured here.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from bench.cluster import Cluster, Setting, Times, limits

MIXES = ("two-workers", "two-workers-light")
MIB = 1 << 20
ROUNDS = 20
"""Runs for each process in a simulation, but no fewer than ``LEAST``."""
LEAST = 1_000
MANY = 3_000
"""Workers up to which it is asked what is full."""
OFTEN = 0.7
"""Share of the highest rate at which the times of waiting are taken."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.simulate", description="What a cluster would carry.")
    parser.add_argument("files", type=Path, nargs="+", help="JSON that the benchmark wrote (BENCH_JSON)")
    parser.add_argument("--workers", default="1,10,100,1000", help="numbers of workers, separated by commas")
    parser.add_argument("--processes", type=int, default=1, help="of each worker")
    parser.add_argument("--storage-mib", type=float, help="MiB a second of the storage; those of the measured disk")
    told = parser.parse_args()
    found = [row for file in told.files for row in json.loads(file.read_text(encoding="utf-8"))["rows"]]
    rows = {row["row"]: row for row in found if row.get("figures")}
    numbers = [int(number) for number in told.workers.split(",")]
    for mix in MIXES:
        if mix not in rows:
            say(f"{mix} was not measured.")
            continue
        try:
            times = Times.of(rows, mix)
        except KeyError as missing:
            say(f"{missing} was not measured: take grow-open-runs, grow-sweep, grow-readers and grow-polls too.")
            return 2
        storage = told.storage_mib * MIB if told.storage_mib else times.disk
        say(f"## {rows[mix]['what']}", "", *checked(times), "", *foreseen(times, numbers, told.processes, storage), "")
        say(*in_words(times, storage, told.processes), "")
    return 0


def checked(times: Times) -> list[str]:
    """The model against what was measured: all on one machine."""
    lines = ["| workers, one machine | measured, runs/s | model, runs/s | error |", "|---|---|---|---|"]
    for workers, measured in times.rates.items():
        modelled = Cluster(times, Setting(workers, one_machine=True)).run(times.runs).rate
        lines.append(f"| {workers} | {measured:.3g} | {modelled:.3g} | {modelled / measured - 1:+.0%} |")
    return lines


def foreseen(times: Times, numbers: Sequence[int], processes: int, storage: float) -> list[str]:
    """Each worker on a machine of its own."""
    head = "| workers | runs/s at most | server | storage | workers | full first | by formula, runs/s"
    lines = [f"{head} | at {OFTEN:.0%}: median and 95 % of seconds |", "|---|---|---|---|---|---|---|---|"]
    for workers in numbers:
        setting = Setting(workers, processes, storage=storage)
        runs = max(LEAST, ROUNDS * workers * processes)
        most = Cluster(times, setting).run(runs)
        often = Cluster(times, setting).run(runs, most.rate * OFTEN)
        shares = " | ".join(f"{most.used[name]:.0%}" for name in ("server", "storage", "workers"))
        formula = min(limits(times, setting).values())
        stay = f"{median(often.stays):.3g}, {often.stays[len(often.stays) * 95 // 100]:.3g}"
        lines.append(f"| {workers:,} | {most.rate:.3g} | {shares} | {most.fullest} | {formula:.3g} | {stay} |")
    return lines


def in_words(times: Times, storage: float, processes: int) -> list[str]:
    """Where each comes to its end, by formula."""

    def full(name: str, times: Times = times) -> str:
        for workers in range(1, MANY):
            found = limits(times, Setting(workers, processes, storage=storage))
            if found["workers"] >= found[name]:
                return f"full from {workers:,} workers on, at {found[name]:.3g} runs a second"
        return f"not full with {MANY:,} workers"

    every = Setting(1).sweep_every
    server = (
        f"{1e3 * times.server:.2f} ms for a run, {1e3 * times.server_full:.2f} at least, "
        f"{1e3 * times.server_idle:.3f} ms a second for each worker, "
        f"{1e6 * times.server_per_reader:.2f} µs for each event and worker that waits for it"
    )
    sweep = (
        f"a sweep takes {1e6 * times.sweep:.0f} µs each {every:g} s, and {1e3 * times.swept * times.bring_back:.1f} ms "
        f"where it brings back {times.swept} expired leases, its most: {times.swept / every:.0f} a second"
    )
    least = replace(times, server=times.server_full)
    return [
        f"- Server ({server}): {full('server')}.",
        f"- Server, if a run takes no more than the least of it: {full('server', least)}.",
        f"- Storage ({storage / MIB:,.0f} MiB a second): {full('storage')}.",
        f"- Recovery: {sweep}.",
    ]


def say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    sys.exit(main())
