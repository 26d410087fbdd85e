"""The command line, run in the test's own process."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.farm import Farm

from packhouse.producers import StatusFeed
from packhouse.producers.cli.group import run
from packhouse.schemas import CompletedEvent, PackageResult, RunFinished

Command = Callable[..., tuple[int, str, str]]
"""Runs ``packhouse …`` with these arguments: its exit status, output and errors."""


def command_for(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """The command with the settings that workers get by this environment."""
    for name, value in environment.items():
        if name.startswith("PACKHOUSE_"):
            monkeypatch.setenv(name, value)

    def command(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = run(arguments)
        told = capsys.readouterr()
        return status, told.out, told.err

    return command


def made_again(farm: Farm, event: RunFinished, command: Command) -> PackageResult:
    """What comes of a run's only package by ``packhouse retry``."""
    status, out, err = command("retry", event.subject)
    assert status == 0, out + err
    with StatusFeed(farm.settings.redis_url, farm.settings.namespace) as feed:
        final = feed.wait(event.run, timeout=60)
    assert isinstance(final, CompletedEvent)
    (result,) = final.data.packages
    return result
