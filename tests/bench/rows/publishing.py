"""From publishing a finished run to its final status, on an otherwise idle stack."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from bench.measure import Measured
from bench.registry import Bench, row

from packhouse.local.stack import Stack
from packhouse.producers import StatusFeed, publish
from packhouse.producers.olive import read_output_dir
from packhouse.schemas import CompletedEvent, PackagingConfig, PackagingType, RunFinished
from packhouse.schemas.paths import PathMap

SAMPLES = Path(__file__).parents[2] / "data"


def seconds(bench: Bench, sample: str) -> Measured:
    """Of as many runs as pairs are asked for, and one before them."""
    run = bench.folder / sample
    shutil.copytree(SAMPLES / sample, run)
    taken: list[float] = []
    with Stack(bench.folder / "stack", [bench.folder]) as stack, StatusFeed(stack.redis_url) as feed:
        for count in range(bench.count + 1):
            finished = read_output_dir(
                run / "output_dir",
                packaging_config=[PackagingConfig(type=PackagingType.ZIPFILE, name=f"bench-{count}")],
                mapping=PathMap.parse([f"/srv/olive={run}"]),
            )
            event = RunFinished.of(finished, source="/bench", run_id=f"{sample}-{count}")
            began = time.perf_counter()
            publish(event, stack.redis_url)
            final = feed.wait(event.run, timeout=60)
            taken.append(time.perf_counter() - began)
            if not isinstance(final, CompletedEvent) or final.data.state != "succeeded":
                raise RuntimeError(f"{final}")
    return Measured(tuple(taken[1:]))


@row(
    "status-0.6.2",
    "seconds from publish to the final status: a real run of Olive 0.6.2, two accelerators, models tried",
)
def of_0_6_2(bench: Bench) -> Measured:
    return seconds(bench, "olive-0.6.2-cpu-and-openvino")


@row("status-0.13.0", "seconds from publish to final status: real run of Olive 0.13.0, models tried")
def of_0_13_0(bench: Bench) -> Measured:
    return seconds(bench, "olive-0.13.0-search")
