"""A model that is written to or taken away between the plan and the end of its package: named, never half packed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.assets import code_of, make_large, models_of
from support.commands import Command, made_again
from support.farm import Farm, RunMaker
from support.verifying import checks, unpacked

from packhouse.schemas import PackageResult

pytestmark = pytest.mark.full

LARGE = 3 << 20
"""Bytes of a model that is read in several pieces."""


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


def grow(model: Path) -> None:
    with model.open("ab") as file:
        file.write(b"more")


def change_what_was_read(model: Path) -> None:
    """At the very beginning, which is in the ZIP by then."""
    with model.open("r+b") as file:
        file.write(b"other")


def replace_by_another(model: Path) -> None:
    other = model.with_name("other.onnx")
    other.write_bytes(bytes(model.stat().st_size))
    other.rename(model)


def assert_whole(result: PackageResult, model: Path, content: bytes) -> None:
    """The package is there, and the best model in it has this content."""
    assert result.state == "succeeded", result.error
    package = Path(str(result.path))
    assert checks(package)["digests"]["state"] == "ok"
    assert unpacked(package)[f"{result.models[0]}/{model.name}"] == content


@pytest.mark.parametrize(
    ("harm", "code"),
    [(truncate, "model_changed"), (change_in_place, "model_changed"), (Path.unlink, "model_missing")],
)
def test_it_is_named_and_nothing_is_left(
    farm: Farm, make_run: RunMaker, harm: Callable[[Path], None], code: str
) -> None:
    farm.start()
    event = make_run()
    farm.publish_held(event, "zip.begun")
    harm(models_of(event)[1])
    farm.let_go("zip.begun")
    final = farm.wait_final(event)
    (result,) = final.data.packages
    assert result.error is not None
    assert result.error.code == code
    assert list(Path(event.data.output_dir).iterdir()) == []


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (truncate, "it ends after "),
        (grow, "bytes were announced, it has "),
        (change_in_place, "it was written to meanwhile"),
        (change_what_was_read, "it was written to meanwhile"),
    ],
)
def test_one_that_changes_while_it_is_read_is_named_and_is_packaged_when_it_is_as_before(
    farm: Farm, make_run: RunMaker, command: Command, harm: Callable[[Path], None], told: str
) -> None:
    farm.start()
    event = make_run()
    model = make_large(models_of(event)[0], LARGE)
    before = model.read_bytes()
    farm.publish_held(event, "zip.writing")
    harm(model)
    farm.let_go("zip.writing")
    (result,) = farm.wait_final(event).data.packages
    assert code_of(result) == "model_changed"
    assert result.error is not None
    assert result.error.message.startswith(f"{model} changed while it was being packaged: ")
    assert told in result.error.message
    assert list(Path(event.data.output_dir).iterdir()) == []
    model.write_bytes(before)
    assert_whole(made_again(farm, event, command), model, before)


@pytest.mark.parametrize("harm", [Path.unlink, replace_by_another])
def test_one_that_is_taken_away_while_it_is_read_is_packed_as_it_was(
    farm: Farm, make_run: RunMaker, harm: Callable[[Path], None]
) -> None:
    """What is open stays what it is, whatever becomes of its name."""
    farm.start()
    event = make_run()
    model = make_large(models_of(event)[0], LARGE)
    before = model.read_bytes()
    farm.publish_held(event, "zip.writing")
    harm(model)
    farm.let_go("zip.writing")
    assert_whole(farm.wait_final(event).data.packages[0], model, before)


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
