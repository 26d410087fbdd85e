from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnxruntime
from support.nuget import NugetFeed

from packhouse.worker.doctor.finding import Finding
from packhouse.worker.doctor.trials import check_runtimes, check_trials
from packhouse.worker.settings import Settings

SettingsOf = Callable[..., Settings]


def states(settings: Settings) -> dict[str, str]:
    return {finding.name: str(finding.state) for finding in check_runtimes(settings)}


def only(settings: Settings) -> Finding:
    [finding] = check_trials(settings)
    return finding


def test_a_feed_that_answers_is_well(feed: NugetFeed, settings_of: SettingsOf) -> None:
    assert states(settings_of()) == {"cache": "ok", "wheels": "ok", "nuget": "ok"}


def test_a_feed_that_is_none_and_a_feed_that_is_not_set_are_told_apart(
    feed: NugetFeed, settings_of: SettingsOf
) -> None:
    assert states(settings_of(nuget_index=f"{feed.url}/nothing.json"))["nuget"] == "failed"
    assert states(settings_of(nuget_index=None))["nuget"] == "warning"


def test_a_folder_of_runtimes_that_is_not_there_is_named(settings_of: SettingsOf, tmp_path: Path) -> None:
    given = {"runtime_source": "folder", "runtime_folder": str(tmp_path / "wheels")}
    assert states(settings_of(**given)) == {"cache": "ok", "wheels": "failed"}
    (tmp_path / "wheels").mkdir()
    assert states(settings_of(**given)) == {"cache": "ok", "wheels": "ok"}


def test_folders_that_cannot_be_written_are_named(settings_of: SettingsOf) -> None:
    finding = only(Settings(scratch="/proc"))
    assert (finding.state, "/proc" in finding.message) == ("failed", True)
    assert states(settings_of(cache_dir="/proc/packhouse"))["cache"] == "failed"


def test_the_execution_providers_that_models_are_tried_on_are_told() -> None:
    assert onnxruntime.get_available_providers()[0] in only(Settings()).message
    assert only(Settings(check_models="off")).state == "skipped"


def test_what_is_switched_off_is_not_looked_at(settings_of: SettingsOf) -> None:
    assert states(settings_of(runtime_source="off")) == {"wheels": "skipped"}
