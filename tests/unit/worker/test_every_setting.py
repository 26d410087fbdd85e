"""Every setting by each of its ways: a variable, a file that a variable names, a folder of secrets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.worker import app
from packhouse.worker.settings import Settings, load

KEY = "eu-1:" + "5e" * 32
GOOD: dict[str, str] = {
    "redis_url": "rediss://worker:p%40ss@redis.example:6380/3?ssl_cert_reqs=required",
    "namespace": "other",
    "roots": "/mnt/olive:/mnt/more",
    "path_maps": "/srv/olive=/mnt/olive;C:\\olive=/mnt/more",
    "event_keys": KEY,
    "run_dir": "/run/packhouse",
    "metrics_port": "9540",
    "metrics_address": "127.0.0.2",
    "fsync": "never",
    "log_format": "json",
    "traces": "otlp",
    "azure_workspaces": "00000000-0000-0000-0000-000000000001/group/workspace",
    "azure_config": "/etc/azureml.json",
    "azure_accounts": "account1/models;account2/*",
    "azure_datastore": "store_1",
    "azure_prefix": "teams/vision",
    "azure_default_version": "auto",
    "check_models": "load",
    "check_fails": "failed;inconclusive",
    "scratch": "/var/scratch",
    "runtime_folder": "/mnt/runtimes",
    "runtime_source": "off",
    "runtime_missing": "fail",
    "runtime_platforms": "linux_x86_64;win_amd64",
    "runtime_pythons": "3.11;3.12",
    "runtime_dependencies": "true",
    "nuget_index": "https://feed.example/v3/index.json",
    "nuget_hosts": "cdn.example",
    "fetch_environment": "HTTPS_PROXY=http://proxy.example:3128;NO_PROXY=",
    "cache_dir": "/var/cache/packhouse",
}
"""What another value than the default looks like; for numbers, which are not here, 777777777."""
WRONG: dict[str, tuple[str, ...]] = {
    "redis_url": (
        "nonsense",
        "http://redis/0",
        "redis://:s3cret@redis:port/0",
        "redis:///0",
        "redis://:s3cret@redis/first",
    ),
    "namespace": ("", "a b", "{x}"),
    "roots": ("olive", "/mnt/olive:more"),
    "path_maps": ("/srv/olive", "/srv/olive=relative"),
    "event_keys": ("s3cret", f"{KEY};{KEY}"),
    "metrics_port": ("70000", "many"),
    "fsync": ("sometimes",),
    "log_format": ("xml",),
    "traces": ("zipkin",),
    "azure_workspaces": ("workspace",),
    "azure_accounts": ("account1",),
    "azure_datastore": ("a store",),
    "azure_prefix": ("../up", "/absolute"),
    "azure_default_version": ("2",),
    "check_models": ("perhaps",),
    "check_fails": ("passed",),
    "scratch": ("scratch",),
    "runtime_folder": ("runtimes",),
    "runtime_source": ("web", "folder"),
    "runtime_missing": ("ignore",),
    "runtime_platforms": ("Linux x86",),
    "runtime_pythons": ("2.7",),
    "runtime_dependencies": ("perhaps",),
    "nuget_index": ("feed.example",),
    "fetch_environment": ("HTTPS_PROXY",),
    "cache_dir": ("cache",),
}
ANYTHING = {"run_dir", "metrics_address", "azure_config", "nuget_hosts"}
"""Texts of which none is wrong in itself."""
_NUMERIC = (str(int), str(float))
NUMBERS = {name for name, field in Settings.model_fields.items() if str(field.annotation) in _NUMERIC}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("PACKHOUSE_"):
            monkeypatch.delenv(name)


def test_every_setting_is_in_these_tables() -> None:
    assert set(Settings.model_fields) == set(GOOD) | NUMBERS
    assert set(Settings.model_fields) == set(WRONG) | NUMBERS | ANYTHING


@pytest.mark.parametrize("name", Settings.model_fields)
def test_a_variable_a_file_and_a_secret_give_the_same_value(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, variable = GOOD.get(name, "777777777"), f"PACKHOUSE_{name.upper()}"
    (tmp_path / variable).write_text(f"{text}\n")
    values: list[object] = []
    for told in (
        {variable: text},
        {f"{variable}_FILE": str(tmp_path / variable)},
        {"PACKHOUSE_SECRETS_DIR": str(tmp_path)},
    ):
        with monkeypatch.context() as patch:
            for key, value in told.items():
                patch.setenv(key, value)
            values.append(getattr(load(), name))
    assert values[0] != Settings.model_fields[name].default
    assert values == [values[0]] * 3


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *((name, text) for name, texts in WRONG.items() for text in texts),
        *((name, text) for name in sorted(NUMBERS) for text in ("many", "-1", "")),
    ],
)
def test_a_wrong_value_is_named_and_ends_the_worker_with_status_5(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(f"PACKHOUSE_{name.upper()}", text)
    with pytest.raises(PermanentError) as caught:
        load()
    assert caught.value.code is ErrorCode.CONFIGURATION_INVALID
    with pytest.raises(SystemExit) as ended:
        app._load()
    assert ended.value.code == 5
    first, fix = capsys.readouterr().err.strip().splitlines()
    assert first.startswith("error [configuration_invalid]: ")
    assert f"PACKHOUSE_{name.upper()}" in first or name == "path_maps"
    assert fix.startswith("fix: ")
    assert "s3cret" not in first + fix


@pytest.mark.parametrize("text", ["nan", "inf"])
def test_a_time_is_a_number_of_seconds(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACKHOUSE_LEASE_SECONDS", text)
    with pytest.raises(PermanentError, match="PACKHOUSE_LEASE_SECONDS"):
        load()
