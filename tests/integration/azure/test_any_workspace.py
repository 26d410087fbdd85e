"""What holds for every workspace: shown on the stand-in, and on a real one where the environment names one.

``PACKHOUSE_LIVE_WORKSPACE`` is ``subscription/resource_group/workspace``; credentials are found in the environment as
azure-identity finds them. Costs a few hundred kilobytes of storage and leaves four assets of unique names.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from support.farm import Farm, RunMaker

from packhouse.local.azure.environment import without_azure
from packhouse.local.azure.readback import Wanted, read_back_by
from packhouse.schemas import PackageResult
from packhouse.worker.settings import Settings

LIVE: Final = os.environ.get("PACKHOUSE_LIVE_WORKSPACE", "")
_COLLECTIONS: Final = {"AzureMLModels": "models", "AzureMLData": "data"}
_FIELDS: Final = {"name", "version", "digest"}

no_workspace = pytest.mark.skipif(not LIVE, reason="PACKHOUSE_LIVE_WORKSPACE names no real workspace")


@pytest.fixture(
    params=[
        pytest.param("stand-in", marks=pytest.mark.full),
        pytest.param("real", marks=[pytest.mark.live, no_workspace]),
    ]
)
def environment(request: pytest.FixtureRequest) -> dict[str, str]:
    """What leads the SDK to the workspace."""
    if request.param == "real":
        return {**os.environ, "PACKHOUSE_AZURE_WORKSPACES": LIVE}
    standin = request.getfixturevalue("azure")
    return {**without_azure(os.environ), **standin.environment}


@pytest.fixture
def package(
    environment: dict[str, str], namespace: str, tmp_path: Path, redis_url: str, make_run: RunMaker
) -> Iterator[Callable[..., list[PackageResult]]]:
    """Packages the same models as models and as data under one name."""
    settings = Settings(redis_url=redis_url, namespace=namespace, roots=(str(tmp_path),), sweep_seconds=0.5)
    (tmp_path / "farm").mkdir()
    farm = Farm(settings, tmp_path / "farm", extra=environment)
    farm.start(concurrency=2)

    def make(name: str, run_id: str) -> list[PackageResult]:
        event = make_run(run_id, packages=[{"type": kind, "name": name} for kind in _COLLECTIONS])
        farm.publish(event)
        return farm.wait_final(event, seconds=100).data.packages

    yield make
    farm.close()


def wanted_of(packages: list[PackageResult]) -> list[Wanted]:
    return [
        Wanted.model_validate({"collection": _COLLECTIONS[package.type], **asset.model_dump(include=_FIELDS)})
        for package in packages
        for asset in package.assets
    ]


def already_registered(packages: list[PackageResult]) -> list[bool]:
    return [asset.already_registered for package in packages for asset in package.assets]


@pytest.mark.timeout(400)
def test_what_is_registered_is_what_is_downloaded_and_other_content_never_takes_its_place(
    environment: dict[str, str], package: Callable[..., list[PackageResult]], make_run: RunMaker
) -> None:
    name = f"packhouse-test-{uuid.uuid4().hex[:8]}"
    first = package(name, "first")
    assert already_registered(first) == [False] * 4, first
    wanted = wanted_of(first)
    found = read_back_by(environment, wanted)
    assert [one.asset for one in found if one.matches] == wanted
    assert {one.type for one in found} == {"custom_model", "uri_folder"}

    again = package(name, "again")
    assert already_registered(again) == [True] * 4
    assert wanted_of(again) == wanted

    models = make_run.folder / "models"
    (models / "m0/model.onnx").write_bytes((models / "m1/model.onnx").read_bytes())
    other = package(name, "other")
    assert [str(result.error.code) for result in other if result.error] == ["asset_version_taken"] * 2
    assert [one.asset for one in read_back_by(environment, wanted) if one.matches] == wanted
