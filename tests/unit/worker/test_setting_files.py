from __future__ import annotations

from pathlib import Path

import pytest

from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.worker.setting_files import settings_in_files
from packhouse.worker.settings import load

NAMES = ("redis_url", "roots")


def test_a_file_that_a_variable_names_holds_the_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "url"
    file.write_text("redis://user:p%40ss@server/0\r\n")
    monkeypatch.delenv("PACKHOUSE_REDIS_URL", raising=False)
    monkeypatch.setenv("PACKHOUSE_REDIS_URL_FILE", str(file))
    assert load().redis_url == "redis://user:p%40ss@server/0"


def test_the_folder_of_secrets_gives_way_to_variables(tmp_path: Path) -> None:
    (tmp_path / "PACKHOUSE_REDIS_URL").write_text("redis://in-capitals\n")
    (tmp_path / "packhouse_roots").write_text("/mnt/olive")
    (tmp_path / "something-else").write_text("of no interest")
    told = {"PACKHOUSE_SECRETS_DIR": str(tmp_path)}
    assert settings_in_files(NAMES, told) == {"redis_url": "redis://in-capitals", "roots": "/mnt/olive"}
    assert settings_in_files(NAMES, told | {"PACKHOUSE_ROOTS": "/mnt/x"}) == {"redis_url": "redis://in-capitals"}


def test_a_value_from_a_file_is_checked_as_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lease").write_text("soon")
    monkeypatch.setenv("PACKHOUSE_LEASE_SECONDS_FILE", str(tmp_path / "lease"))
    with pytest.raises(PermanentError, match="PACKHOUSE_LEASE_SECONDS"):
        load()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read: No such file"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff\xfe", "is not text"),
        (b"x" * 70_000, "is longer than 65536 bytes"),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_named(tmp_path: Path, content: bytes | None, why: str) -> None:
    file = tmp_path / "url"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(PermanentError, match="PACKHOUSE_REDIS_URL_FILE") as caught:
        settings_in_files(NAMES, {"PACKHOUSE_REDIS_URL_FILE": str(file)})
    assert caught.value.code is ErrorCode.CONFIGURATION_INVALID
    assert why in caught.value.message
    assert str(file) in caught.value.message


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({"PACKHOUSE_REDIS_URI_FILE": "x"}, "there is no setting PACKHOUSE_REDIS_URI"),
        ({"PACKHOUSE_REDIS_URL_FILE": "x", "PACKHOUSE_REDIS_URL": "y"}, "PACKHOUSE_REDIS_URL is set too"),
        ({"PACKHOUSE_SECRETS_DIR": "/nowhere/at/all"}, "/nowhere/at/all is no folder"),
    ],
)
def test_contradictions_and_misspellings_are_refused(environment: dict[str, str], why: str) -> None:
    with pytest.raises(PermanentError) as caught:
        settings_in_files(NAMES, environment)
    assert why in caught.value.message
