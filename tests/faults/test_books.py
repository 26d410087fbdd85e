"""The check of the books finds what is wrong, each kind of it, and nothing where all is well."""

from __future__ import annotations

import subprocess
import sys
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis
from support.books import Books, Findings, still_there
from support.farm import Farm, RunMaker, quick, wait_for
from support.server import Server
from support.working import work_here

from packhouse.schemas import RunFinished, run_key


@dataclass
class Kept:
    """A run that has been packaged, and what a test may spoil of it."""

    farm: Farm
    event: RunFinished
    make: RunMaker

    @property
    def archive(self) -> Path:
        return Path(self.event.data.output_dir) / "OutputModels.zip"

    def check(self, *more: RunFinished) -> Findings:
        farm = self.farm
        folders, scratch = [farm.folder / "out"], farm.folder / "scratch"
        return Books(farm.redis, farm.keys).check([self.event, *more], folders=folders, scratch=scratch)

    def key(self, name: str) -> str:
        return f"{self.farm.keys.prefix}{name}"


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory, redis_server: str, data: Path) -> Iterator[Kept]:
    folder = tmp_path_factory.mktemp("books")
    (folder / "scratch").mkdir()
    settings = quick(redis_server, f"test-{uuid.uuid4().hex[:12]}", folder)
    farm = Farm(settings, folder)
    make = RunMaker(folder, data)
    event = make("kept")
    farm.publish(event)
    work_here(settings)
    yield Kept(farm, event, make)
    farm.close()


@pytest.fixture
def kept(packaged: Kept) -> Iterator[Kept]:
    """That run; what a test spoils is mended after it."""
    farm = packaged.farm
    archive = packaged.archive.read_bytes()
    with Redis.from_url(farm.settings.redis_url) as redis:
        pattern = f"{farm.keys.prefix}*"
        before = {key: redis.dump(key) or b"" for key in redis.scan_iter(pattern)}
        yield packaged
        packaged.archive.write_bytes(archive)
        redis.delete(*redis.scan_iter(pattern))
        for key, value in before.items():
            redis.restore(key, 0, value)


def test_books_in_order_have_no_findings(kept: Kept) -> None:
    assert not kept.check()
    assert str(kept.check()) == ""


def test_an_event_without_an_end_is_lost(kept: Kept) -> None:
    (sentence,) = kept.check(kept.make("never-taken-in")).lost
    assert "never-taken-in" in sentence


def test_a_run_that_the_stream_has_no_end_of_is_lost(kept: Kept) -> None:
    kept.farm.redis.delete(kept.farm.keys.status)
    assert kept.check().lost


def test_a_run_whose_end_is_not_kept_is_lost(kept: Kept) -> None:
    kept.farm.redis.delete(kept.farm.keys.final(kept.event.run))
    assert kept.check().lost


def test_a_package_that_failed_is_lost_unless_it_may(kept: Kept) -> None:
    failed = kept.make("failed")
    text = kept.farm.stream(kept.farm.keys.status)[-1].replace('"kept"', '"failed"').replace("succeeded", "failed")
    text = text.replace(run_key(kept.event.run), run_key(failed.run))
    kept.farm.redis.xadd(kept.farm.keys.status, {"event": text})
    kept.farm.redis.set(kept.farm.keys.final(failed.run), text)
    assert kept.check(failed).lost
    folders = [kept.farm.folder / "out"]
    assert not Books(kept.farm.redis, kept.farm.keys).check([failed], folders=folders, may_fail=["failed"]).lost


def test_a_second_end_is_doubled(kept: Kept) -> None:
    kept.farm.redis.xadd(kept.farm.keys.status, {"event": kept.farm.stream(kept.farm.keys.status)[-1]})
    assert kept.check().doubled


def test_a_second_result_of_a_package_is_doubled(kept: Kept) -> None:
    events = kept.farm.stream(kept.farm.keys.status)
    (result,) = [text for text in events if '"packhouse.package.succeeded"' in text]
    kept.farm.redis.xadd(kept.farm.keys.status, {"event": result})
    assert kept.check().doubled


def test_half_a_package_is_found(kept: Kept) -> None:
    kept.archive.write_bytes(kept.archive.read_bytes()[:-100])
    assert kept.check().half_written


def test_a_package_that_is_not_there_is_found(kept: Kept) -> None:
    kept.archive.unlink()
    assert kept.check().half_written


def test_a_sound_zip_of_other_content_is_found(kept: Kept) -> None:
    with zipfile.ZipFile(kept.archive) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(kept.archive, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content[:-1] + b"!" if name == "models_rank.json" else content)
    assert any("models_rank.json" in sentence for sentence in kept.check().half_written)


def test_an_unfinished_file_and_a_folder_of_a_trial_are_leaks(kept: Kept) -> None:
    partial = kept.archive.with_name(".OutputModels.zip.abc-0-def.partial")
    scratch = kept.farm.folder / "scratch" / "packhouse-check-1"
    partial.touch()
    scratch.mkdir()
    leaked = kept.check().leaked
    partial.unlink()
    scratch.rmdir()
    assert [".partial" in leaked[0], "scratch" in leaked[1]] == [True, True]


@pytest.mark.parametrize("name", ["leased", "leased:here", "delayed", "waiting:ranking"])
def test_work_that_is_still_in_the_ledger_is_a_leak(kept: Kept, name: str) -> None:
    kept.farm.redis.zadd(kept.key(name), {"run:0": 1})
    assert kept.check().leaked == [f"key {kept.key(name)}"]


def test_a_destination_still_held_an_open_job_and_an_event_not_taken_in_are_leaks(kept: Kept) -> None:
    kept.farm.redis.set(kept.key("destination:x"), "run:0")
    kept.farm.redis.xadd(kept.key("open:ranking"), {"run": "x", "job": "0"})
    kept.farm.publish(b"{}")
    assert len(kept.check().leaked) == 3


def test_a_ledger_that_counted_otherwise_or_holds_an_open_run_disagrees(kept: Kept) -> None:
    kept.farm.redis.hincrby(kept.key("counts"), "runs:succeeded", 1)
    kept.farm.redis.hset(kept.key("run:other"), "state", "open")
    assert len(kept.check().disagreeing) == 2


def test_a_process_and_a_connection_that_stay_are_found(tmp_path: Path, own_server: Server) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    with (
        Redis.from_url(own_server.url, decode_responses=True) as redis,
        Redis.from_url(own_server.url) as other,
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], cwd=folder) as child,
    ):
        other.ping()
        found = list(still_there(redis, folder))
        child.kill()
        other.connection_pool.disconnect()
        assert [f"process {child.pid} " in found[0], found[1].startswith("connection ")] == [True, True]
        child.wait()
        wait_for(lambda: not list(still_there(redis, folder)), what="both to be gone")
