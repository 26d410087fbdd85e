"""Storage that fills up or refuses in the middle of a package: said, nothing half left, and made when it is mended."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.assets import code_of, make_heavy, make_large, models_of
from support.commands import Command, made_again
from support.disks import Disk, FailingDisk, SmallDisk
from support.farm import Farm, RunMaker, Worker

from packhouse.schemas import RunFinished

pytestmark = pytest.mark.full

MIB = 1 << 20
ELSEWHERE = "elsewhere"


def started_on(farm: Farm, disk: Disk) -> Worker:
    """A worker that has the disk."""
    if reason := disk.why_not():
        pytest.skip(reason)
    farm.prefix = disk.enter
    return farm.start()[0]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def made_elsewhere(farm_on: Callable[..., Farm], redis_url: str, namespace: str) -> Callable[[RunFinished], str]:
    """The digest of the ZIP's bytes as another Packhouse makes them, on an ordinary disk."""

    def make(event: RunFinished) -> str:
        other = farm_on(redis_url, namespace=f"{namespace}-{ELSEWHERE}")
        other.start()
        other.publish(event)
        (result,) = other.wait_final(event).data.packages
        assert result.state == "succeeded", result.error
        return sha256(Path(str(result.path)))

    return make


def test_a_disk_that_fills_up_in_mid_zip_gets_its_space_back_and_then_takes_the_package(
    farm: Farm, make_run: RunMaker, tmp_path: Path, command: Command, made_elsewhere: Callable[[RunFinished], str]
) -> None:
    disk = SmallDisk(tmp_path / "small", 12 * MIB)
    worker = started_on(farm, disk)
    event = make_run(out=str(disk.folder / "out"))
    make_large(models_of(event)[0], 4 * MIB)
    farm.publish_held(event, "zip.writing")
    (partial,) = (disk.seen_by(worker) / "out").iterdir()
    taken = partial.stat().st_blocks * 512
    assert MIB <= taken < 4 * MIB
    filler = disk.fill(worker)
    farm.let_go("zip.writing")
    (result,) = farm.wait_final(event).data.packages
    assert code_of(result) == "disk_full"
    assert result.error is not None
    assert result.error.message.startswith(f"{disk.folder}/out/OutputModels.zip of ")
    assert result.error.message.endswith(" bytes does not fit on its disk (No space left on device).")
    assert list((disk.seen_by(worker) / "out").iterdir()) == []
    assert disk.free(worker) >= taken
    filler.unlink()
    assert made_again(farm, event, command).state == "succeeded"
    assert sha256(disk.seen_by(worker) / "out" / "OutputModels.zip") == made_elsewhere(event)


def test_a_disk_that_turns_read_only_in_mid_zip_is_said_and_takes_the_package_once_it_is_mounted_anew(
    farm: Farm, make_run: RunMaker, tmp_path: Path, command: Command, made_elsewhere: Callable[[RunFinished], str]
) -> None:
    disk = FailingDisk(tmp_path / "failing", 32 * MIB)
    worker = started_on(farm, disk)
    event = make_run(out=str(disk.folder / "out"))
    make_large(models_of(event)[0], 4 * MIB)
    farm.publish_held(event, "zip.writing")
    disk.fail(worker)
    farm.let_go("zip.writing")
    (result,) = farm.wait_final(event).data.packages
    assert code_of(result) == "destination_unwritable"
    assert result.error is not None
    assert result.error.message == f"{disk.folder}/out/OutputModels.zip cannot be written: read-only file system."
    disk.mend(worker)
    assert made_again(farm, event, command).state == "succeeded"
    out = disk.seen_by(worker) / "out"
    assert sorted(file.name for file in out.iterdir()) == ["OutputModels.report.html", "OutputModels.zip"]
    assert sha256(out / "OutputModels.zip") == made_elsewhere(event)


def test_a_folder_that_takes_no_more_files_in_mid_zip_gets_its_space_back_and_then_takes_the_package(
    farm: Farm, make_run: RunMaker, command: Command, made_elsewhere: Callable[[RunFinished], str]
) -> None:
    if os.geteuid() == 0:
        farm.prefix = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    farm.start()
    event = make_run()
    out = Path(event.data.output_dir)
    farm.publish_held(event, "zip.poured")
    out.chmod(0o555)
    farm.let_go("zip.poured")
    (result,) = farm.wait_final(event).data.packages
    assert code_of(result) == "destination_unwritable"
    assert result.error is not None
    assert result.error.message == f"{out}/OutputModels.zip cannot be written: permission denied."
    assert [(file.name.endswith(".partial"), file.stat().st_size) for file in out.iterdir()] == [(True, 0)]
    out.chmod(0o755)
    assert made_again(farm, event, command).state == "succeeded"
    assert sorted(file.name for file in out.iterdir()) == ["OutputModels.report.html", "OutputModels.zip"]
    digest = sha256(out / "OutputModels.zip")
    assert digest == made_elsewhere(event)


@pytest.mark.parametrize("room", [0, MIB // 2])
def test_a_scratch_folder_that_is_full_costs_the_trial_and_not_the_package(
    farm: Farm, make_run: RunMaker, tmp_path: Path, room: int
) -> None:
    disk = SmallDisk(tmp_path / "scratch", MIB)
    farm.extra |= {"PACKHOUSE_SCRATCH": str(disk.folder), "PACKHOUSE_CHECK_MODELS": "load"}
    worker = started_on(farm, disk)
    filler = disk.fill(worker)
    os.truncate(filler, MIB - room)
    event = make_run(candidates=1)
    weights = make_heavy(models_of(event)[0], 3 * MIB // 4)
    # Weights that lie in another folder than their model must be copied to be tried with it.
    weights.symlink_to(weights.rename(tmp_path / "weights.bin"))
    farm.publish(event)
    (result,) = farm.wait_final(event).data.packages
    assert result.state == "succeeded", result.error
    (check,) = result.checks
    assert check.verdict.state == "not_checked"
    assert check.verdict.reason == "The scratch folder does not take its files (No space left on device)."
    assert list(disk.seen_by(worker).iterdir()) == [filler]
    filler.unlink()
    again = make_run("again", candidates=1)
    farm.publish(again)
    assert farm.wait_final(again).data.packages[0].checks[0].verdict.state == "passed"
