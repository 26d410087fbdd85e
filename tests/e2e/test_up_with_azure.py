"""``packhouse up`` with its stand-in for Azure."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from support.farm import wait_for
from support.local_stack import Up

pytestmark = pytest.mark.slow

_ROUND_TRIP = """
import sys, warnings
warnings.simplefilter("ignore")
from azure.ai.ml import MLClient
from azure.ai.ml.entities import Data
from azure.identity import DefaultAzureCredential
from azure.storage.blob import ContainerClient
credential = DefaultAzureCredential()
ml = MLClient(credential, *sys.argv[1].split("/"), enable_telemetry=False)
store = ml.datastores.get_default()
url = f"https://{store.account_name}.blob.core.windows.net/{store.container_name}"
if sys.argv[2] == "register":
    ContainerClient.from_container_url(url, credential).upload_blob("folder/file", b"kept")
    ml.data.create_or_update(
        Data(name="d", version="1", type="uri_folder", path=f"azureml://datastores/{store.name}/paths/folder")
    )
path = ml.data.get("d", "1").path.partition("/paths/")[2]
print(ContainerClient.from_container_url(url, credential).download_blob(f"{path}/file").readall().decode())
"""


def env_of(up: Up) -> dict[str, str]:
    return dict(line.split("=", 1) for line in (up.data_dir / "env").read_text().splitlines())


def round_trip(env: dict[str, str], what: str) -> str:
    """What the SDK reads when it has nothing but the settings that the stack wrote down."""
    done = subprocess.run(
        [sys.executable, "-c", _ROUND_TRIP, env["PACKHOUSE_AZURE_WORKSPACES"], what],
        env={**os.environ, **env}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout.strip()


@pytest.mark.full
@pytest.mark.skipif(not shutil.which("npm"), reason="the stand-in for Azure needs node and npm")
def test_the_sdk_finds_the_stand_in_by_what_the_stack_wrote_down_and_again_after_a_restart(tmp_path: Path) -> None:
    with Up(tmp_path, "--no-flower", azure=True) as up:
        before = env_of(up)
        workspace = before["PACKHOUSE_AZURE_WORKSPACES"]
        wait_for(lambda: f"its workspace is {workspace}" in up.said, what="its word about the workspace")
        assert round_trip(before, "register") == "kept"
        for worker in up.children("worker"):
            assert worker.environ()["HTTPS_PROXY"] == before["HTTPS_PROXY"]
        (standin,) = up.children("azure")
        standin.kill()
        wait_for(lambda: [one for one in up.children("azure") if one.pid != standin.pid], what="a new stand-in")
        wait_for(lambda: answers(before), what="its answer")
        assert round_trip(before, "read") == "kept"
        private = [up.data_dir / "azure/identity.json", up.data_dir / "azure/certificates/key.pem"]
        assert {stat.S_IMODE(file.stat().st_mode) for file in private} == {0o600}
        everyone = up.family
        assert up.stop() == 0
        up.all_gone(everyone)
    with Up(tmp_path, "--no-flower", azure=True) as up:
        assert env_of(up)["AZURE_CLIENT_SECRET"] == before["AZURE_CLIENT_SECRET"]
        assert round_trip(env_of(up), "read") == "kept"


def answers(env: dict[str, str]) -> bool:
    from packhouse.local.azure.remote import Remote

    return Remote(int(env["HTTPS_PROXY"].rpartition(":")[2])).ready()


def test_without_node_the_rest_starts_and_one_line_says_so(tmp_path: Path) -> None:
    empty = tmp_path / "bin"
    empty.mkdir()
    with Up(tmp_path, "--no-flower", azure=True, environment={"PATH": str(empty)}) as up:
        told = "node and npm not found: going on without the stand-in for Azure.\n"
        wait_for(lambda: told in up.said, what="its word")
        assert not up.children("azure")
        assert "HTTPS_PROXY" not in env_of(up)


def test_where_a_workspace_is_set_there_is_no_stand_in(tmp_path: Path) -> None:
    own = {"PACKHOUSE_AZURE_WORKSPACES": "00000000-0000-0000-0000-000000000000/group/workspace"}
    with Up(tmp_path, "--no-flower", azure=True, environment=own) as up:
        wait_for(lambda: "no stand-in for Azure is started" in up.said, what="its word")
        assert not up.children("azure")


@pytest.mark.full
def test_the_demonstration_without_node_says_what_is_left_out(tmp_path: Path, data: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/data").symlink_to(data)
    shown = subprocess.run(
        [sys.executable, "-m", "packhouse.local.demo"],
        cwd=tmp_path, env={**os.environ, "PATH": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "Left out, since there was no stand-in for Azure: AzureMLModels and AzureMLData." in shown.stdout
    assert shown.stdout.count(" is sound: ") == 3
