"""Workers on several hosts, one server, and storage that each host has at a path of its own."""

from __future__ import annotations

import hashlib
import itertools
import shutil
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import cast

import pytest
from support.engine_child import LETTERS, SOURCE
from support.farm import Farm, wait_for
from support.hosts import ENGINES_VIEW, Host, Switch, why_not
from support.verifying import Silent

from packhouse.schemas import CompletedEvent, RunRef, run_key
from packhouse.worker.verify.run import verify

pytestmark = [pytest.mark.full, pytest.mark.skipif(bool(why_not()), reason=str(why_not()))]

SAMPLE = "olive-0.6.2-cpu-and-openvino"
POURED = "zip.poured"


class Cluster:
    """Hosts with workers, a host with engines, and a ledger to look into."""

    def __init__(self, folder: Path, sample: Path) -> None:
        self.switch = Switch(folder)
        self._mounts = itertools.count()
        shutil.copytree(sample, self.switch.storage, dirs_exist_ok=True)
        self.output = self.switch.storage / "output_dir"
        self.before = {path.name for path in self.output.iterdir()}
        self.engines = self.switch.host(ENGINES_VIEW)

    def host(self, *, workers: int = 1, hostname: str = "") -> Host:
        """Another host, with the storage at another path than all before."""
        host = self.switch.host(f"/mnt/{'abcdefgh'[next(self._mounts)]}", hostname=hostname)
        host.farm.start(workers)
        return host

    @property
    def ledger(self) -> Farm:
        """Any host's: they look into the same ledger."""
        return self.engines.farm

    def wait_finals(self, *numbers: int, seconds: float = 120) -> list[CompletedEvent]:
        """The final event of each run."""
        keys = [self.ledger.keys.final(RunRef(source=SOURCE, id=f"run-{number}")) for number in numbers]
        wait_for(lambda: self.ledger.redis.exists(*keys) == len(keys), seconds=seconds, what="the final events")
        finals = self.ledger.finals()
        assert all(isinstance(final, CompletedEvent) for final in finals)
        return [final for final in finals if isinstance(final, CompletedEvent)]

    def held_at(self, host: str) -> int:
        """How many leases the workers of a host hold."""
        held = self.ledger.redis.zrange(f"{self.ledger.keys.prefix}leased", 0, -1)
        workers = [self.ledger.redis.hget(f"{self.ledger.keys.prefix}job:{member}", "worker") for member in held]
        names = [self.ledger.redis.get(f"{self.ledger.keys.prefix}worker:{worker}") for worker in workers]
        return sum(str(name).endswith(f"@{host}") for name in names)

    def succeeded(self) -> int:
        """How many packages were told to have succeeded, those told twice counted twice."""
        texts = self.ledger.stream(self.ledger.keys.status)
        return sum('"type":"packhouse.package.succeeded"' in text for text in texts)

    def assert_each_ended_well_once(self, *numbers: int) -> Counter[str]:
        """One final event a run, one sound package a config, and nothing else. Returns how many each host made."""
        finals = self.wait_finals(*numbers)
        assert sorted(final.subject for final in finals) == sorted(f"run-{number}" for number in numbers)
        assert {final.data.state for final in finals} == {"succeeded"}
        names = [f"{letter}{number}" for number in numbers for letter in LETTERS]
        assert self.succeeded() == len(names)
        made = {path.name for path in self.output.iterdir()} - self.before
        assert made == {f"{name}{ending}" for name in names for ending in (".zip", ".report.html")}
        for name in names:
            with zipfile.ZipFile(self.output / f"{name}.zip") as archive:
                assert archive.testzip() is None, name
        assert verify(self.output / f"{names[-1]}.zip", shown=names[-1], watcher=Silent()).ok
        paths = {package.path for final in finals for package in final.data.packages}
        assert paths == {f"{ENGINES_VIEW}/output_dir/{name}.zip" for name in names}, "engines are told their own paths"
        workers = [str(package.worker) for final in finals for package in final.data.packages]
        return Counter(worker.partition("@")[2] for worker in workers)

    def counted(self, number: int, letter: str = "p") -> list[str | None]:
        """Attempts, crashes and losses of a package."""
        job = f"{run_key(RunRef(source=SOURCE, id=f'run-{number}'))}:{LETTERS.index(letter)}"
        fields = self.ledger.redis.hmget(f"{self.ledger.keys.prefix}job:{job}", ["attempts", "crashes", "losses"])
        return cast("list[str | None]", fields)


@pytest.fixture
def cluster(tmp_path: Path, data: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path, data / SAMPLE)
    yield made
    made.switch.end()


def tell(figures: str) -> None:
    """For `pytest -s`: what a person wants to know and no test holds a machine to."""
    sys.stdout.write(f"{figures}\n")


class Clock:
    """Tells how long something took."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        tell(f"{self._what}: {time.monotonic() - self._began:.1f} s")


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_work_spreads_over_hosts_and_a_host_that_is_added_takes_its_share(cluster: Cluster) -> None:
    first = [cluster.host(), cluster.host()]
    for host in first:
        host.farm.hold(POURED)
    cluster.engines.publish(*range(6))
    for host in first:
        host.farm.wait_reached(POURED)
    added = cluster.host()
    # Both others are busy for as long as it takes: what is left is done by the new one.
    wait_for(lambda: cluster.succeeded() == 10, what="ten packages")
    for host in first:
        host.farm.let_go(POURED)
    made = cluster.assert_each_ended_well_once(*range(6))
    tell(f"packages by host, two of three held: {dict(made)}")
    assert made == {first[0].name: 1, first[1].name: 1, added.name: 10}


def test_a_host_cut_off_in_mid_package_loses_it_to_another_and_comes_back_without_harm(cluster: Cluster) -> None:
    # The same hostname, and process ids that both have.
    cut = cluster.host(hostname="worker")
    cut.farm.hold(POURED)
    cluster.engines.publish(1)
    cut.farm.wait_reached(POURED)
    whole = cluster.host(hostname="worker")
    with Clock("from cut to done elsewhere"):
        cut.pull_out()
        cluster.wait_finals(1)
    package = cluster.output / "p1.zip"
    digest = digest_of(package)
    cut.farm.let_go(POURED)
    assert whole.farm.workers[0].stop() == 0
    cluster.engines.publish(2)
    with Clock("from plugged in to the next run done there"):
        cut.plug_in()
        cluster.wait_finals(1, 2)
    made = cluster.assert_each_ended_well_once(1, 2)
    assert made == {whole.name: 2, cut.name: 2}
    # Neither host took a process of the other for one of its own that had died.
    records = [cluster.counted(1, letter) for letter in LETTERS]
    assert sorted(records) == [["1", "0", "0"], ["2", "0", "1"]]
    assert digest_of(package) == digest


def test_a_rolling_restart_of_all_workers_under_load_loses_nothing_and_counts_as_no_crash(cluster: Cluster) -> None:
    hosts = [cluster.host() for _ in range(3)]
    # One of them is in a package that takes longer than the grace period.
    hosts[1].farm.hold(POURED)
    open_at_a_stop: list[int] = []
    with cluster.engines.publishing(1, pause=0.7) as numbers:
        for host in hosts:
            wait_for(partial(cluster.held_at, host.name), what=f"work on {host.name}")
            if host is hosts[1]:
                host.farm.wait_reached(POURED)
            open_at_a_stop.append(cluster.held_at(host.name))
            assert host.farm.workers[0].stop() == 0
            host.farm.let_go(POURED)
            host.farm.start()
    made = cluster.assert_each_ended_well_once(*numbers)
    records = [cluster.counted(number, letter) for number, letter in itertools.product(numbers, LETTERS)]
    assert all(crashes == losses == "0" for _, crashes, losses in records)
    assert max(int(attempts or 0) for attempts, _, _ in records) == 2, "what did not fit was handed back"
    tell(f"runs: {len(numbers)}; packages by host: {dict(made)}; leases held at each stop: {open_at_a_stop}")
