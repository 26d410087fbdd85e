"""A model that is written to or taken away between the plan and the end of its package: named, never half packed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.assets import models_of
from support.farm import Farm, RunMaker
from support.verifying import checks

pytestmark = pytest.mark.full


def truncate(model: Path) -> None:
    os.truncate(model, model.stat().st_size // 2)


def change_in_place(model: Path) -> None:
    with model.open("r+b") as file:
        file.seek(100)
        file.write(b"other")


def change_and_set_back_the_time(model: Path) -> None:
    before = model.stat()
    change_in_place(model)
    os.utime(model, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(
    ("harm", "code"),
    [(truncate, "model_changed"), (change_in_place, "model_changed"), (Path.unlink, "model_missing")],
)
def test_it_is_named_and_nothing_is_left(
    farm: Farm, make_run: RunMaker, harm: Callable[[Path], None], code: str
) -> None:
    farm.start()
    event = make_run()
    farm.hold("zip.begun")
    farm.publish(event)
    farm.wait_reached("zip.begun")
    harm(models_of(event)[1])
    farm.let_go("zip.begun")
    final = farm.wait_final(event)
    (result,) = final.data.packages
    assert result.error is not None
    assert result.error.code == code
    assert list(Path(event.data.output_dir).iterdir()) == []


def test_one_whose_time_was_set_back_is_packed_with_the_digest_of_its_bytes(farm: Farm, make_run: RunMaker) -> None:
    """No time tells that it changed: the package is then of what was read, and says so."""
    farm.start()
    first = make_run("r1")
    farm.publish(first)
    before = farm.wait_final(first).data.packages[0].digest
    change_and_set_back_the_time(models_of(first)[1])
    again = make_run("r2")
    farm.publish(again)
    (result,) = farm.wait_final(again).data.packages
    assert result.digest != before
    package = Path(again.data.output_dir) / "OutputModels.zip"
    assert checks(package)["digests"]["state"] == "ok"
