from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from packhouse.schemas.errors import PermanentError
from packhouse.schemas.events import AzureMLWorkspace
from packhouse.worker.azure.choice import choose_workspace, read_config
from packhouse.worker.settings import Settings, load

FIRST = AzureMLWorkspace(subscription_id="s1", resource_group="r1", workspace_name="w1")
SECOND = AzureMLWorkspace(subscription_id="s2", resource_group="r2", workspace_name="w2")


def config(folder: Path, content: Any) -> str:
    path = folder / "config.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def code_of(named: AzureMLWorkspace | None, settings: Settings) -> str:
    with pytest.raises(PermanentError) as caught:
        choose_workspace(named, settings)
    assert caught.value.fix
    return caught.value.code


def test_without_a_name_the_first_of_the_settings_is_used_before_the_config_file(tmp_path: Path) -> None:
    path = config(tmp_path, SECOND.model_dump())
    assert choose_workspace(None, Settings(azure_workspaces=(FIRST, SECOND))) == FIRST
    assert choose_workspace(None, Settings(azure_workspaces=(FIRST,), azure_config=path)) == FIRST
    assert choose_workspace(None, Settings(azure_config=path)) == SECOND


def test_an_event_may_name_any_of_the_settings_and_the_config_files_letter_case_aside(tmp_path: Path) -> None:
    settings = Settings(azure_workspaces=(FIRST,), azure_config=config(tmp_path, SECOND.model_dump()))
    assert choose_workspace(SECOND, settings) == SECOND
    loud = AzureMLWorkspace(subscription_id="S1", resource_group="R1", workspace_name="W1")
    assert choose_workspace(loud, settings) == FIRST


def test_another_workspace_is_forbidden_and_without_any_the_setting_is_named() -> None:
    assert code_of(SECOND, Settings(azure_workspaces=(FIRST,))) == "workspace_forbidden"
    assert code_of(SECOND, Settings()) == "workspace_forbidden"
    assert code_of(None, Settings()) == "workspace_unknown"
    with pytest.raises(PermanentError) as caught:
        choose_workspace(None, Settings())
    assert "PACKHOUSE_AZURE_WORKSPACES" in caught.value.fix


def test_a_config_file_may_give_the_names_or_a_scope(tmp_path: Path) -> None:
    scope = "/subscriptions/s1/resourceGroups/r1/providers/Microsoft.MachineLearningServices/workspaces/w1"
    assert read_config(config(tmp_path, {"Scope": scope})) == FIRST
    assert read_config(config(tmp_path, FIRST.model_dump() | {"more": 1})) == FIRST


@pytest.mark.parametrize("content", ["no json", "[]", {"subscription_id": "s"}, {"Scope": "/a/b"}, {"Scope": 7}])
def test_a_config_file_that_names_no_workspace_is_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(PermanentError) as caught:
        read_config(config(tmp_path, content))
    assert caught.value.code == "configuration_invalid"


def test_a_config_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="no such file"):
        read_config(str(tmp_path / "config.json"))


def test_settings_read_workspaces_and_containers_and_refuse_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACKHOUSE_AZURE_WORKSPACES", "s1/r1/w1; s2/r2/w2;")
    monkeypatch.setenv("PACKHOUSE_AZURE_ACCOUNTS", "models/*; other/in-1")
    settings = load()
    assert settings.azure_workspaces == (FIRST, SECOND)
    assert settings.azure_accounts == ("models/*", "other/in-1")
    for name, value in (
        ("AZURE_WORKSPACES", "s1/r1"),
        ("AZURE_WORKSPACES", "s1/r1/w 1"),
        ("AZURE_ACCOUNTS", "models"),
        ("AZURE_PREFIX", "/a"),
        ("AZURE_DEFAULT_VERSION", "2"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(f"PACKHOUSE_{name}", value)
            with pytest.raises(PermanentError, match=name):
                load()
