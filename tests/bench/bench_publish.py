"""How long it takes from publishing a finished run to its final status, on an otherwise idle stack."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from packhouse.local.stack import Stack
from packhouse.producers import StatusFeed, publish
from packhouse.producers.olive import read_output_dir
from packhouse.schemas import CompletedEvent, PackagingConfig, PackagingType, RunFinished
from packhouse.schemas.paths import PathMap

ROUNDS = 20


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    began = time.perf_counter()
    with Stack(folder / "data", [folder]) as running:
        print(f"\nthe stack was ready after {time.perf_counter() - began:.1f} s")  # noqa: T201 (this is a benchmark)
        yield running


@pytest.mark.timeout(300)
@pytest.mark.parametrize("sample", ["olive-0.6.2-cpu-and-openvino", "olive-0.13.0-search"])
def test_from_publishing_to_the_final_status(stack: Stack, data: Path, sample: str) -> None:
    run = stack.folder.path.parent / sample
    shutil.copytree(data / sample, run)
    seconds: list[float] = []
    with StatusFeed(stack.redis_url) as feed:
        for count in range(ROUNDS):
            finished = read_output_dir(
                run / "output_dir",
                packaging_config=[PackagingConfig(type=PackagingType.ZIPFILE, name=f"bench-{count}")],
                mapping=PathMap.parse([f"/srv/olive={run}"]),
            )
            event = RunFinished.of(finished, source="/bench", run_id=f"{sample}-{count}")
            began = time.perf_counter()
            publish(event, stack.redis_url)
            final = feed.wait(event.run, timeout=60)
            seconds.append(time.perf_counter() - began)
            assert isinstance(final, CompletedEvent)
            assert final.data.state == "succeeded"
    print(  # noqa: T201 (this is a benchmark)
        f"\n{sample}: median {statistics.median(seconds):.3f} s of {ROUNDS}, "
        f"fastest {min(seconds):.3f} s, slowest {max(seconds):.3f} s"
    )
