"""A worker whose clock jumps: leases, pauses and times are the server's, so that nothing comes of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.farm import Farm, RunMaker, wait_for

pytestmark = pytest.mark.full

SHIM = Path(__file__).parents[1] / "support" / "skewed_clock.c"


class Clock:
    """By how much the clock of the farm's workers is wrong, from now on."""

    def __init__(self, file: Path) -> None:
        self.file = file
        file.write_bytes(bytes(8))

    def jump(self, by: timedelta) -> None:
        # In place: it is mapped by those whose clock it is.
        with self.file.open("r+b") as file:
            file.write(int(by.total_seconds()).to_bytes(8, sys.byteorder, signed=True))


@pytest.fixture
def clock(farm: Farm, tmp_path: Path) -> Clock:
    """The clock of the farm's workers."""
    if shutil.which("gcc") is None:
        pytest.skip("a clock that is wrong takes gcc")
    library, clock = tmp_path / "skewed_clock.so", Clock(tmp_path / "clock")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, SHIM, "-ldl"], check=True)
    farm.extra |= {"LD_PRELOAD": str(library), "SKEWED_CLOCK": str(clock.file), "PACKHOUSE_LOG_FORMAT": "json"}
    return clock


@pytest.mark.parametrize("jump", [timedelta(days=1), timedelta(days=-1)])
def test_a_jump_of_a_day_in_the_middle_of_a_package_costs_nothing(
    farm: Farm, make_run: RunMaker, clock: Clock, jump: timedelta
) -> None:
    farm.start(2)
    event, after = make_run("r1"), make_run("r2")
    farm.publish_held(event, "zip.poured")
    clock.jump(jump)
    wait_for(lambda: abs(newest_line(farm) - datetime.now(UTC) - jump) < timedelta(hours=1), what="the clock to jump")
    farm.wait_sweeps(3)
    farm.let_go("zip.poured")
    farm.publish(after)
    for one in (event, after):
        final = farm.wait_final(one)
        assert final.data.packages[0].state == "succeeded", final.data.packages[0].error
        assert final.data.packages[0].attempts == 1, "no lease ran out"
        assert final.data.timings.completed_at is not None
        assert abs(final.data.timings.completed_at - datetime.now(UTC)) < timedelta(hours=1), "times are the server's"


def newest_line(farm: Farm) -> datetime:
    """The time of the last line that a worker wrote; a line comes when one is asked for how it is."""
    farm.publish(b"no event")  # a warning is logged
    lines = [line for line in farm.logs().splitlines() if line.startswith("{")]
    return max((datetime.fromisoformat(json.loads(line)["time"]) for line in lines[-3:]), default=datetime.now(UTC))
