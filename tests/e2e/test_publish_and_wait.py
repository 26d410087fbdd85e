from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, cast

import psutil
import pytest
from support.farm import wait_for
from support.local_stack import PACKHOUSE, Up, packhouse
from support.processes import processes_in

from packhouse.schemas.keys import FIELD, Keys
from packhouse.schemas.status import STATUS_EVENT, FinalEvent, StatusEvent

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

GATE = "zip.poured"
SAMPLES = {"olive-0.6.2-cpu-and-openvino": 3, "olive-0.13.0-search": 5}


class Shop:
    """A folder in which a stack runs, with copies of the sample runs in it."""

    def __init__(self, folder: Path, data: Path) -> None:
        self.folder = folder
        self.faults = folder / "faults"
        self.faults.mkdir()
        self._data = data

    def up(self, **environment: str) -> Up:
        return Up(self.folder, "--no-flower", environment={"PACKHOUSE_FAULT_DIR": str(self.faults), **environment})

    def run(self, sample: str) -> Path:
        """A copy of a sample with a packaging config beside it."""
        copy = self.folder / sample
        shutil.copytree(self._data / sample, copy)
        (copy / "packaging.json").write_text('{"type": "Zipfile", "name": "best"}')
        return copy

    def command(self, up: Up, run: Path) -> list[str]:
        return [
            PACKHOUSE, "publish", str(run / "output_dir"), "--packaging-config", str(run / "packaging.json"),
            "--map", f"/srv/olive={run}", "--data-dir", str(up.data_dir), "--wait", "--timeout", "120", "--json",
        ]  # fmt: skip

    def publish(self, up: Up, run: Path) -> tuple[int, dict[str, Any]]:
        done = subprocess.run(self.command(up, run), capture_output=True, text=True, cwd=self.folder, check=False)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    def publish_up_to_the_gate(self, up: Up, run: Path) -> subprocess.Popen[str]:
        """Publish, and return when the package is poured and not yet visible."""
        (self.faults / GATE).touch()
        publisher = subprocess.Popen(
            self.command(up, run), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.folder
        )
        wait_for(self.reached, what="the gate")
        assert not (run / "output_dir/best.zip").exists()
        return publisher

    def reached(self) -> list[Path]:
        return list(self.faults.glob(f"{GATE}.reached.*"))

    def open_the_gate(self) -> None:
        (self.faults / GATE).unlink()


@pytest.fixture
def shop(tmp_path: Path, data: Path) -> Shop:
    return Shop(tmp_path, data)


def finals(up: Up) -> list[StatusEvent]:
    """Every final event on the status queue."""
    with up.redis() as redis:
        entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", redis.xrange(Keys().status))
    events = [STATUS_EVENT.validate_json(fields[FIELD.encode()]) for _, fields in entries]
    return [event for event in events if isinstance(event, FinalEvent)]


def assert_packaged(final: dict[str, Any], run: Path, up: Up) -> None:
    """One final status, one whole package, and nothing beside it that is half-written."""
    assert final["data"]["state"] == "succeeded"
    (package,) = final["data"]["packages"]
    zip_file = run / "output_dir/best.zip"
    assert package["path"] == str(zip_file)
    assert len(package["models"]) == len(final["data"]["candidates"]) == SAMPLES[run.name]
    verified = packhouse("verify", str(zip_file), "--json", folder=run)
    assert verified.returncode == 0, verified.stdout
    assert json.loads(verified.stdout)["digest"] == package["digest"]
    assert subprocess.run(["unzip", "-tq", str(zip_file)], capture_output=True, check=False).returncode == 0
    beside = {path.name for path in zip_file.parent.iterdir() if "best" in path.name}
    assert beside == {"best.zip", "best.report.html"}
    assert finals(up) == [STATUS_EVENT.validate_python(final)]


def finish(publisher: subprocess.Popen[str]) -> tuple[int, dict[str, Any]]:
    out, errors = publisher.communicate(timeout=120)
    assert out, errors
    return publisher.returncode, json.loads(out)


@pytest.mark.parametrize(
    "sample", ["olive-0.6.2-cpu-and-openvino", pytest.param("olive-0.13.0-search", marks=pytest.mark.full)]
)
def test_a_real_run_becomes_a_verified_zip(shop: Shop, sample: str) -> None:
    run = shop.run(sample)
    with shop.up() as up:
        status, final = shop.publish(up, run)
        assert status == 0
        assert_packaged(final, run, up)
        before = (run / "output_dir/best.zip").stat()
        again, same = shop.publish(up, run)
        assert (again, same) == (0, final), "the same run once more is a duplicate"
        assert (run / "output_dir/best.zip").stat().st_ino == before.st_ino
        told = packhouse("status", final["subject"], "--json", "--data-dir", str(up.data_dir), folder=run)
        assert told.returncode == 0
        assert json.loads(told.stdout.splitlines()[-1]) == final


def test_killing_every_worker_process_costs_time_and_nothing_else(shop: Shop) -> None:
    run = shop.run("olive-0.13.0-search")
    with shop.up(PACKHOUSE_LEASE_SECONDS="3") as up:
        publisher = shop.publish_up_to_the_gate(up, run)
        victims = [one for worker in up.children("worker") for one in (*worker.children(recursive=True), worker)]
        # Two workers with a process each, and what one of these keeps ready for trials, which may end with it.
        assert len(victims) in {4, 5}
        for victim in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()
        shop.open_the_gate()
        status, final = finish(publisher)
        assert status == 0
        assert_packaged(final, run, up)
        assert up.said.count("killed by SIGKILL") == 2
        everyone = up.family
        assert up.stop() == 0
        assert not up.left([*everyone, *victims])


@pytest.mark.full
def test_killing_the_whole_stack_leaves_nothing_running_and_a_restart_ends_the_run(shop: Shop) -> None:
    run = shop.run("olive-0.6.2-cpu-and-openvino")
    with shop.up(PACKHOUSE_LEASE_SECONDS="3") as up:
        publisher = shop.publish_up_to_the_gate(up, run)
        with up.redis() as redis:
            redis.waitaof(1, 0, 5000)
        everyone = up.family
        up.kill()
        up.all_gone(everyone)
        assert not (run / "output_dir/best.zip").exists()
        shop.open_the_gate()
    with shop.up(PACKHOUSE_LEASE_SECONDS="3") as again:
        status, final = finish(publisher)
        assert status == 0
        assert_packaged(final, run, again)
        everyone = again.family
        assert again.stop() == 0
        assert not again.left(everyone)


@pytest.mark.full
def test_stopping_in_the_middle_of_a_package_hands_it_to_the_next_start(shop: Shop) -> None:
    run = shop.run("olive-0.13.0-search")
    with shop.up(PACKHOUSE_SOFT_SHUTDOWN_SECONDS="1") as up:
        publisher = shop.publish_up_to_the_gate(up, run)
        everyone = up.family
        assert up.stop() == 0
        assert not up.left(everyone)
        assert not (run / "output_dir/best.zip").exists()
        shop.open_the_gate()
    with shop.up() as again:
        status, final = finish(publisher)
        assert status == 0
        assert final["data"]["packages"][0].get("attempts", 1) <= 2
        assert_packaged(final, run, again)


def test_a_second_interrupt_does_not_wait_for_the_package(shop: Shop) -> None:
    run = shop.run("olive-0.13.0-search")
    with shop.up(PACKHOUSE_SOFT_SHUTDOWN_SECONDS="60") as up:
        publisher = shop.publish_up_to_the_gate(up, run)
        everyone = up.family
        up.interrupt()
        wait_for(lambda: "stopping" in up.said, what="its word that it stops")
        began = time.monotonic()
        up.interrupt()
        assert up.process.wait(30) == 0
        assert time.monotonic() - began < 20
        assert not up.left(everyone)
        publisher.kill()
        publisher.communicate()


@pytest.mark.full
@pytest.mark.timeout(300)
def test_the_demonstration_works_twice_in_a_row_and_keeps_its_packages(tmp_path: Path, data: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/data").symlink_to(data)
    for count in (1, 2):
        shown = subprocess.run(
            [Path(PACKHOUSE).with_name("python"), "-m", "packhouse.local.demo"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert shown.returncode == 0, shown.stdout + shown.stderr
        assert "Flower http://127.0.0.1:" in shown.stdout
        kept = [str(path.relative_to(tmp_path)) for path in tmp_path.glob(".packhouse/demo/run-*/*/output_dir/*.zip")]
        assert len(kept) == 3 * count
        assert sum(f"  {package}\n" in shown.stdout for package in kept) == 3
        assert shown.stdout.count(" is sound: ") == 3
        # 3 candidates of one run and 5 of the other, each as a model and as data.
        assert shown.stdout.count("same digest") == (2 * 8 if shutil.which("npm") else 0)
        assert ("Left out, since there was no stand-in for Azure" in shown.stdout) == (not shutil.which("npm"))
    assert processes_in(tmp_path) == []


@pytest.mark.full
@pytest.mark.timeout(900)
def test_a_fresh_clone_gets_to_verified_packages_by_one_command(tmp_path: Path) -> None:
    project = Path(__file__).parents[2]
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(project), str(clone)], check=True)
    ours = {"VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL"}
    shown = subprocess.run(
        ["make", "demo"],
        cwd=clone,
        env={key: value for key, value in os.environ.items() if key not in ours},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stdout[-4000:] + shown.stderr[-4000:]
    packages = [str(path.relative_to(clone)) for path in clone.glob(".packhouse/demo/run-*/*/output_dir/*.zip")]
    assert len(packages) == 3
    for package in packages:
        assert f"  {package}\n" in shown.stdout
