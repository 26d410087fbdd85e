from __future__ import annotations

from pathlib import Path

import pytest

from packhouse.producers.config import Stack, find_stack
from packhouse.schemas import ErrorCode, PackhouseError

ENVIRON = {"PACKHOUSE_REDIS_URL": "redis://environ/0", "PACKHOUSE_NAMESPACE": "environ"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    text = "# written by packhouse up\n\nPACKHOUSE_REDIS_URL=redis://file/0?a=b\nPACKHOUSE_NAMESPACE='file'\n"
    (tmp_path / "env").write_text(text)
    return tmp_path


def test_an_option_goes_before_the_environment_and_the_file(folder: Path) -> None:
    assert find_stack("redis://option/0", "option", folder, ENVIRON) == Stack("redis://option/0", "option")


def test_a_data_folder_that_is_given_goes_before_the_environment(folder: Path) -> None:
    assert find_stack(data_dir=folder, environ=ENVIRON) == Stack("redis://file/0?a=b", "file")


def test_the_environment_goes_before_the_default_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".packhouse").mkdir()
    (folder / "env").rename(folder / ".packhouse/env")
    monkeypatch.chdir(folder)
    assert find_stack(environ=ENVIRON) == Stack("redis://environ/0", "environ")
    assert find_stack(environ={}) == Stack("redis://file/0?a=b", "file")


def test_without_any_of_them_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(PackhouseError) as caught:
        find_stack(data_dir=tmp_path, environ={})
    assert caught.value.code is ErrorCode.CONFIGURATION_INVALID
    assert "packhouse up" in caught.value.fix
    assert "PACKHOUSE_REDIS_URL" in caught.value.fix
