"""``packhouse gc`` removes what nothing registered refers to, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from support.assets import DATA, MODELS, assets_of, container_of, files_of
from support.azure import AzureStandIn
from support.farm import Farm, RunMaker, wait_for

pytestmark = [pytest.mark.full, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]

ORPHAN = "packhouse/assets/" + "f" * 64

Gc = Callable[..., dict[str, str]]


@pytest.fixture
def gc(farm: Farm) -> Gc:
    """Runs the command; returns the verdict on each folder, by the folder's name."""

    def run(*options: str) -> dict[str, str]:
        command = [sys.executable, "-m", "packhouse.producers.cli", "gc", "--json", *options]
        done = subprocess.run(
            command, env=farm.environment(), cwd=farm.folder, capture_output=True, text=True, timeout=100, check=False
        )
        assert done.returncode == 0, done.stderr
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        return {row["folder"].rpartition("/")[2]: row["verdict"] for row in rows}

    return run


@pytest.fixture
def orphan(azure: AzureStandIn) -> str:
    """The name of a folder that nothing refers to."""
    with container_of(azure) as container:
        container.upload_blob(f"{ORPHAN}/model.onnx", b"left behind")
        container.upload_blob(f"{ORPHAN}/sub/part", b"left behind too")
    return "f" * 64


def names(azure: AzureStandIn) -> set[str]:
    with container_of(azure) as container:
        return {str(blob.name) for blob in container.list_blobs()}


def test_a_folder_goes_only_with_delete_after_the_grace_time_and_if_nothing_refers_to_it(
    farm: Farm, azure: AzureStandIn, make_run: RunMaker, gc: Gc, orphan: str
) -> None:
    farm.start()
    event = make_run(packages=[MODELS, DATA | {"name": "data"}])
    farm.publish(event)
    assets = [asset for package in farm.wait_final(event).data.packages for asset in assets_of(package)]
    folders = {(asset.digest or "").removeprefix("sha256:") for asset in assets}
    with container_of(azure) as container:
        container.upload_blob("packhouse/assets/notes.txt", b"not a folder of an asset")
        container.upload_blob(f"elsewhere/assets/{orphan}/model.onnx", b"not Packhouse's")
    before = names(azure)
    kept = dict.fromkeys(folders, "kept")
    assert gc() == kept | {orphan: "young"}
    assert gc("--delete") == kept | {orphan: "young"}
    assert gc("--grace", "0s") == kept | {orphan: "unused"}
    assert names(azure) == before
    assert gc("--grace", "0s", "--delete") == kept | {orphan: "removed"}
    assert names(azure) == {name for name in before if not name.startswith(ORPHAN)}
    assert gc("--grace", "0s", "--delete") == kept
    assert all(files_of(azure, asset) for asset in assets)


def test_a_folder_that_a_worker_is_about_to_register_stays(
    farm: Farm, azure: AzureStandIn, make_run: RunMaker, gc: Gc
) -> None:
    farm.hold("azure.uploaded")
    farm.start()
    event = make_run(packages=MODELS, candidates=1)
    farm.publish(event)
    farm.wait_reached("azure.uploaded")
    assert list(gc("--grace", "0s", "--delete").values()) == ["in_use"]
    farm.let_go("azure.uploaded")
    (result,) = farm.wait_final(event).data.packages
    assert files_of(azure, assets_of(result)[0])
    assert list(gc("--grace", "0s", "--delete").values()) == ["kept"]


def test_a_weight_in_a_removed_folder_is_sent_again_when_it_is_needed(
    farm: Farm, azure: AzureStandIn, make_run: RunMaker, gc: Gc
) -> None:
    """Its registration is lost as when somebody deletes the asset in the studio."""
    farm.start()
    first = make_run("r1", packages=MODELS, candidates=1)
    farm.publish(first)
    (one,) = farm.wait_final(first).data.packages
    digest = (assets_of(one)[0].digest or "").removeprefix("sha256:")
    with container_of(azure) as container:
        kept = {name: container.download_blob(name).readall() for name in names(azure)}
        hashes = {name: container.get_blob_client(name).get_blob_properties().metadata for name in kept}
        azure.remote.clear()
        for name, data in kept.items():
            container.upload_blob(name, data, metadata=hashes[name])
    assert gc("--grace", "1h", "--delete") == {digest: "young"}
    wait_for(lambda: gc("--grace", "0s", "--delete") == {digest: "removed"}, what="the folder to be unused for a while")
    assert not list(farm.redis.scan_iter(f"{farm.keys.prefix}weights:*"))
    second = make_run("r2", packages=MODELS, candidates=1)
    farm.publish(second)
    (again,) = farm.wait_final(second).data.packages
    assert files_of(azure, assets_of(again)[0]) == {
        name.rpartition("/")[2]: hashes[name]["sha256"] for name in kept if hashes[name]
    }


def test_without_a_workspace_it_says_which_setting_to_set(redis_url: str, namespace: str) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PACKHOUSE_", "AZURE_"))}
    environment = clean | {"PACKHOUSE_REDIS_URL": redis_url, "PACKHOUSE_NAMESPACE": namespace}
    command = [sys.executable, "-m", "packhouse.producers.cli", "gc"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "workspace_unknown" in done.stderr
    assert "PACKHOUSE_AZURE_WORKSPACES" in done.stderr
