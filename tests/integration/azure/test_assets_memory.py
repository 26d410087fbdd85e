"""Large models: sent once, in memory that does not depend on their size."""

from __future__ import annotations

import contextlib
import threading

import psutil
import pytest
from support.assets import DATA, MODELS, assets_of, make_heavy, models_of, registrations, weight_bytes
from support.azure import AzureStandIn
from support.farm import Farm, RunMaker

MIB = 1 << 20
SIZE = 300 * MIB
MOST = 280 * MIB
"""Of a packaging process, the Azure libraries and blocks on their way included."""


class Peaks(threading.Thread):
    """The most memory that each process of a worker's pool has had."""

    def __init__(self, farm: Farm) -> None:
        super().__init__(daemon=True)
        self._farm = farm
        self._over = threading.Event()
        self.seen: dict[int, int] = {}

    def run(self) -> None:
        while not self._over.wait(0.05):
            for process in self._farm.workers[0].pool:
                with contextlib.suppress(psutil.Error):
                    memory: int = process.memory_info().rss
                    self.seen[process.pid] = max(self.seen.get(process.pid, 0), memory)

    def end(self) -> int:
        self._over.set()
        self.join(10)
        return max(self.seen.values())


@pytest.mark.full
@pytest.mark.timeout(300)
def test_models_of_300_mb_are_sent_once_for_both_types_in_bounded_memory(
    farm: Farm, azure: AzureStandIn, make_run: RunMaker
) -> None:
    event = make_run(packages=[MODELS, DATA])
    files = [file for path in models_of(event) for file in (path, make_heavy(path, SIZE))]
    distinct = {file.read_bytes() for file in files}
    farm.start(concurrency=2)
    peaks = Peaks(farm)
    peaks.start()
    farm.publish(event)
    final = farm.wait_final(event, seconds=240).data
    assert peaks.end() < MOST
    assert [len(assets_of(package)) for package in final.packages] == [2, 2]
    sent = weight_bytes([one for one in azure.requests if "comp=blocklist" not in one.query])
    assert sent == sum(map(len, distinct))
    assert len(registrations(azure.requests)) == 4
