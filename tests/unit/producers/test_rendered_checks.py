from __future__ import annotations

import io

from rich.console import Console

from packhouse.producers.cli.render import _show_checks
from packhouse.schemas.accelerator import Accelerator
from packhouse.schemas.checks import CheckState, ModelCheck, Verdict
from packhouse.schemas.status import PackageResult


def package(*states: CheckState) -> PackageResult:
    checks = [
        ModelCheck(
            rank=rank,
            accelerator=Accelerator.model_validate("cpu-cpu"),
            rank_in_accelerator=rank,
            model_id=f"m{rank}",
            verdict=Verdict(state=state, reason=None if state is CheckState.PASSED else "OpenVINO is missing"),
        )
        for rank, state in enumerate(states, start=1)
    ]
    return PackageResult.model_validate({"type": "Zipfile", "name": "n", "state": "succeeded", "checks": checks})


def shown(*packages: PackageResult) -> str:
    out = io.StringIO()
    _show_checks(Console(file=out, width=160), packages)
    return out.getvalue()


def test_packages_that_say_the_same_of_a_model_are_heard_once() -> None:
    both = package(CheckState.PASSED, CheckState.NOT_CHECKED)
    assert shown(both, both) == "1 of 2 models tried, and passed\nmodel 2 (cpu-cpu) not checked: OpenVINO is missing\n"


def test_packages_that_differ_are_both_heard() -> None:
    text = shown(package(CheckState.PASSED), package(CheckState.INCONCLUSIVE))
    assert text == "1 of 1 models tried, and passed\nmodel 1 (cpu-cpu) inconclusive: OpenVINO is missing\n"


def test_without_checks_nothing_is_said() -> None:
    assert not shown(package())
