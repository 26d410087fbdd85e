"""``packhouse doctor`` finds what is amiss and says what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Server, free_port
from support.assets import container_of, secrets_of
from support.azure import AzureStandIn

pytestmark = pytest.mark.slow

Doctor = Callable[..., tuple[int, list[dict[str, str]], str]]


@pytest.fixture
def doctor(tmp_path: Path, redis_url: str) -> Doctor:
    """Runs the command with these variables; returns its exit status, its findings, and all that it said."""

    def run(**variables: str) -> tuple[int, list[dict[str, str]], str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PACKHOUSE_", "AZURE_"))}
        environment = clean | {"PACKHOUSE_REDIS_URL": redis_url, "PACKHOUSE_ROOTS": str(tmp_path)}
        environment |= {"PACKHOUSE_RUNTIME_SOURCE": "off"} | variables
        command = [sys.executable, "-m", "packhouse.producers.cli", "doctor", "--json"]
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
        )
        findings = [json.loads(line) for line in done.stdout.splitlines()]
        return done.returncode, findings, done.stdout + done.stderr

    return run


def of(findings: list[dict[str, str]], name: str) -> dict[str, str]:
    (finding,) = [each for each in findings if each["name"] == name]
    return finding


def states(findings: list[dict[str, str]]) -> dict[str, str]:
    return {finding["name"]: finding["state"] for finding in findings}


def test_where_all_is_well_it_says_so_and_leaves_nothing_behind(doctor: Doctor, azure: AzureStandIn) -> None:
    status, findings, _ = doctor(**azure.environment, PACKHOUSE_AZURE_ACCOUNTS=f"{azure.account}/{azure.container}")
    assert set(states(findings).values()) == {"ok", "skipped"}, findings
    assert of(findings, "wheels")["state"] == "skipped"
    expected = [
        "redis",
        "persistence",
        "memory",
        "ledger",
        "ledger version",
        "storage",
        "trials",
        "wheels",
        "digests",
        "blobs",
        "credentials",
        "workspace",
        "datastore",
        "container",
    ]
    assert [finding["name"] for finding in findings] == expected
    assert status == 0
    assert not list(container_of(azure).list_blobs())


def test_without_azure_that_is_left_out_and_no_fault(doctor: Doctor) -> None:
    status, findings, _ = doctor()
    assert (status, states(findings)["azure"]) == (0, "skipped")


def test_a_server_that_is_not_there_or_not_persistent_or_forgetful(doctor: Doctor, tmp_path: Path) -> None:
    status, findings, said = doctor(PACKHOUSE_REDIS_URL=f"redis://user:hidden@127.0.0.1:{free_port()}/0")
    assert (status, of(findings, "redis")["state"]) == (1, "failed")
    assert "PACKHOUSE_REDIS_URL" in of(findings, "redis")["fix"]
    assert "hidden" not in said
    server = Server(tmp_path / "plain", append_only=False)
    server.start()
    try:
        from redis import Redis

        with Redis.from_url(server.url) as redis:
            redis.config_set("maxmemory-policy", "allkeys-lru")
        status, findings, _ = doctor(PACKHOUSE_REDIS_URL=server.url)
    finally:
        server.stop()
    assert status == 1
    assert of(findings, "persistence")["state"] == "warning"
    assert of(findings, "memory")["state"] == "failed"
    assert "noeviction" in of(findings, "memory")["fix"]


def test_storage_roots_that_are_missing_or_no_folders_and_maps_that_lead_elsewhere(
    doctor: Doctor, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "good").mkdir()
    roots = os.pathsep.join(str(tmp_path / name) for name in ("file", "missing", "good"))
    status, findings, _ = doctor(PACKHOUSE_ROOTS=roots, PACKHOUSE_PATH_MAPS="/srv/engine=/elsewhere/models")
    assert status == 1
    assert [each["state"] for each in findings if each["name"] == "storage"] == ["failed", "failed", "ok"]
    assert of(findings, "mapping")["state"] == "failed"


def test_a_secret_that_azure_does_not_accept(doctor: Doctor, azure: AzureStandIn) -> None:
    status, findings, said = doctor(**azure.environment | {"AZURE_CLIENT_SECRET": "not-the-secret"})
    assert (status, of(findings, "credentials")["state"]) == (1, "failed")
    assert "AZURE_CLIENT_SECRET" in of(findings, "credentials")["fix"]
    assert "workspace" not in states(findings)
    assert "not-the-secret" not in said


@pytest.mark.full
def test_a_workspace_that_is_not_there_is_named(doctor: Doctor, azure: AzureStandIn) -> None:
    missing = f"{azure.subscription}/{azure.resource_group}/nowhere"
    status, findings, _ = doctor(**azure.environment | {"PACKHOUSE_AZURE_WORKSPACES": missing})
    assert (status, of(findings, "workspace")["state"]) == (1, "failed")
    assert missing in of(findings, "workspace")["message"]


@pytest.mark.full
def test_what_one_may_not_read_or_write_is_named_with_the_permission(doctor: Doctor, azure: AzureStandIn) -> None:
    with azure.faults.on(host="management", path="/datastores", status=403, code="AuthorizationFailed", times=None):
        status, findings, _ = doctor(**azure.environment)
    assert (status, of(findings, "workspace")["state"]) == (1, "failed")
    assert "Microsoft.MachineLearningServices/workspaces/datastores/read" in of(findings, "workspace")["fix"]
    forbidden = {"status": 403, "code": "AuthorizationPermissionMismatch", "times": None}
    with azure.faults.on(method="PUT", host=r"\.blob\.", **forbidden):
        status, findings, _ = doctor(**azure.environment)
    assert (status, of(findings, "datastore")["state"]) == (1, "failed")
    assert "Storage Blob Data Contributor" in of(findings, "datastore")["fix"]


@pytest.mark.full
@pytest.mark.parametrize(("credentials", "used"), [("None", "Bearer"), ("Sas", "SAS"), ("AccountKey", "SharedKey")])
def test_datastores_may_be_opened_by_identity_by_signature_and_by_key(
    doctor: Doctor, azure: AzureStandIn, credentials: str, used: str
) -> None:
    azure.remote.datastores(credentials)
    status, findings, said = doctor(**azure.environment)
    assert (status, of(findings, "datastore")["state"]) == (0, "ok"), findings
    assert not [secret for secret in secrets_of(azure) if secret in said]
    assert {one.credential for one in azure.requests if ".blob." in one.host} == {used}


def test_a_line_for_each_finding_is_what_a_person_sees(tmp_path: Path, redis_url: str) -> None:
    (tmp_path / ".packhouse").mkdir()
    (tmp_path / ".packhouse" / "env").write_text(f"PACKHOUSE_REDIS_URL={redis_url}\nPACKHOUSE_ROOTS=/not/there\n")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PACKHOUSE_", "AZURE_"))}
    command = [sys.executable, "-m", "packhouse.producers.cli", "doctor"]
    done = subprocess.run(command, env=clean, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["✓", "redis"],
        ["✓", "persistence"],
        ["✓", "memory"],
        ["✓", "ledger"],
        ["✓", "ledger"],
        ["✗", "storage"],
        ["✓", "trials"],
        ["✓", "cache"],
        ["✓", "wheels"],
        ["!", "nuget"],
        ["✓", "digests"],
        ["-", "azure"],
    ]
