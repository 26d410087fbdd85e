"""What ``packhouse doctor`` says of what workers of a machine share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from packhouse.worker.doctor import caches
from packhouse.worker.doctor.caches import check_shared
from packhouse.worker.doctor.finding import Finding
from packhouse.worker.settings import Settings

BLOBS: dict[str, Any] = {"azure_accounts": ("account/*",)}


def findings(**given: Any) -> list[Finding]:
    return list(check_shared(Settings(**given)))


def test_a_folder_that_can_be_written_is_named(tmp_path: Path) -> None:
    (finding,) = findings(cache_dir=str(tmp_path / "new"))
    assert finding.state == "ok"
    assert str(tmp_path / "new") in finding.message
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_written_is_a_warning_with_what_to_do() -> None:
    (finding,) = findings(cache_dir="/proc/packhouse", **BLOBS)
    assert finding.state == "warning"
    assert finding.fix
    assert "PACKHOUSE_CACHE_DIR" in finding.fix


def test_a_machine_that_does_not_tell_its_boots_apart_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caches, "boot_id", lambda: None)
    (finding,) = findings(cache_dir=str(tmp_path))
    assert finding.state == "warning"


@pytest.mark.parametrize(("limit", "said"), [(0, "nothing is kept"), (1, "up to 1 bytes")])
def test_the_limit_of_blobs_is_told(tmp_path: Path, limit: int, said: str) -> None:
    _, finding = findings(cache_dir=str(tmp_path), blob_cache_bytes=limit, **BLOBS)
    assert finding.state == "ok"
    assert said in finding.message


def test_a_disk_that_is_too_full_for_blobs_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caches, "LEFT_FREE", 1 << 60)
    _, finding = findings(cache_dir=str(tmp_path), **BLOBS)
    assert finding.state == "warning"
    assert finding.fix
