"""The probe, run beside real workers."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.farm import Farm, RunMaker, wait_for

PACKHOUSE = str(Path(sys.executable).with_name("packhouse"))

_HANG_ON_SIGNAL = """
import signal
import time

signal.signal(signal.SIGUSR2, lambda *_: time.sleep(600))
"""


class Probed:
    """A farm of one worker and its probe."""

    def __init__(self, farm: Farm, *, hang: float = 60, away: float = 600, grace: float = 20) -> None:
        self.farm = farm
        farm.extra = {
            "PACKHOUSE_RUN_DIR": str(farm.folder / "run"),
            "PACKHOUSE_HEALTH_SECONDS": str(hang),
            "PACKHOUSE_HEALTH_SERVER_SECONDS": str(away),
            "PACKHOUSE_SOFT_SHUTDOWN_SECONDS": str(grace),
            "PYTHONPATH": str(farm.folder / "site"),
        }

    def start(self) -> None:
        (self.worker,) = self.farm.start()
        wait_for(lambda: self.says("--ready"), what="readiness")

    def says(self, question: str) -> str:
        """The line of a probe that succeeds; nothing where it fails."""
        status, line = self.ask(question)
        return line if status == 0 else ""

    def complains(self, question: str) -> str:
        """The line of a probe that fails; nothing where it succeeds."""
        status, line = self.ask(question)
        return line if status == 1 else ""

    def ask(self, question: str) -> tuple[int, str]:
        done = subprocess.run(
            [PACKHOUSE, "health", question], env=self.farm.environment(), capture_output=True, text=True, check=False
        )
        assert not done.stderr
        assert done.stdout.count("\n") == 1
        return done.returncode, done.stdout.strip()


def test_a_stopped_process_is_not_alive_until_it_goes_on(farm: Farm) -> None:
    probed = Probed(farm, hang=4)
    probed.start()
    assert probed.says("--live") == "alive: w1@test"
    probed.worker.process.send_signal(signal.SIGSTOP)
    line = wait_for(lambda: probed.complains("--live"), what="a complaint")
    assert "it has said nothing for" in line
    probed.worker.process.send_signal(signal.SIGCONT)
    wait_for(lambda: probed.says("--live") and probed.says("--ready"), what="recovery")


@pytest.mark.full
def test_a_main_loop_that_hangs_is_not_alive_though_its_threads_are(farm: Farm) -> None:
    site = farm.folder / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(_HANG_ON_SIGNAL)
    probed = Probed(farm, hang=4)
    probed.start()
    probed.worker.process.send_signal(signal.SIGUSR2)
    line = wait_for(lambda: probed.complains("--live"), what="a complaint")
    assert "its main loop has not turned for" in line


@pytest.mark.full
def test_a_worker_that_packs_for_long_in_every_slot_is_alive_and_ready(farm: Farm, make_run: RunMaker) -> None:
    probed = Probed(farm, hang=4)
    probed.start()
    farm.hold("zip.poured")
    event = make_run()
    farm.publish(event)
    farm.wait_reached("zip.poured")
    until = time.monotonic() + 4 * 1.5
    while time.monotonic() < until:
        assert probed.says("--live")
        assert probed.says("--ready")
    farm.let_go("zip.poured")
    assert farm.wait_final(event).data.state == "succeeded"


@pytest.mark.full
def test_a_server_that_is_gone_is_borne_for_a_time(own_server, farm_on) -> None:
    farm = farm_on(own_server.url)
    probed = Probed(farm, away=12)
    probed.start()
    own_server.kill()
    wait_for(lambda: probed.complains("--ready"), what="a complaint")
    assert probed.says("--live")
    line = wait_for(lambda: probed.complains("--live"), what="a complaint")
    assert "the server has not answered for" in line
    own_server.start()
    wait_for(lambda: probed.says("--live") and probed.says("--ready"), what="recovery")


def test_a_draining_worker_is_alive_and_not_ready(farm: Farm, make_run: RunMaker) -> None:
    probed = Probed(farm)
    probed.start()
    farm.hold("zip.poured")
    farm.publish(make_run())
    farm.wait_reached("zip.poured")
    probed.worker.process.terminate()
    line = wait_for(lambda: probed.complains("--ready"), what="a complaint")
    assert "it is stopping" in line or "no connection" in line
    assert probed.says("--live")
    farm.let_go("zip.poured")
    assert probed.worker.process.wait(60) == 0
    assert "its main process is gone" in probed.complains("--live")


def test_a_missing_storage_root_fails_readiness_alone(farm: Farm, tmp_path: Path) -> None:
    probed = Probed(farm)
    root = tmp_path / "mount"
    farm.extra["PACKHOUSE_ROOTS"] = str(root)
    farm.start()
    wait_for(lambda: f"the storage root {root}" in probed.complains("--ready"), what="a complaint about the root")
    assert probed.says("--live")
    root.mkdir()
    wait_for(lambda: probed.says("--ready"), what="readiness")
