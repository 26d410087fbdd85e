"""The compose file against the code that it configures."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.cache import cached

from packhouse.worker.packagers.registry import QUEUES
from packhouse.worker.settings import Settings

CHECKER = "check-jsonschema==0.39.0"
DEPLOY = Path(__file__).parents[3] / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]


def workers() -> dict[str, Any]:
    return {name: one for name, one in SERVICES.items() if one.get("command", [""])[0] == "worker"}


@pytest.mark.full
def test_the_specification_of_compose_knows_every_field(tmp_path: Path) -> None:
    def install(folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(folder / "bin/python"), "-m", "pip", "install", "-qq", CHECKER], check=True)

    python = cached(f"venvs/{CHECKER}", install) / "bin" / "python"
    command = [str(python), "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    ended = subprocess.run([*command, str(DEPLOY / "compose.yaml")], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout
    broken = tmp_path / "compose.yaml"
    broken.write_text((DEPLOY / "compose.yaml").read_text("utf-8").replace("mem_limit", "memory_limit"))
    assert subprocess.run([*command, str(broken)], capture_output=True, check=False).returncode == 1


def test_every_queue_has_a_worker() -> None:
    queues = [one["command"][one["command"].index("--queues") + 1] for one in workers().values()]
    assert sorted(queues) == sorted(QUEUES)


def test_every_variable_is_a_setting_and_workers_have_the_time_to_stop() -> None:
    known = {f"PACKHOUSE_{name.upper()}" for name in Settings.model_fields}
    known |= {f"{name}_FILE" for name in known} | {"PACKHOUSE_SECRETS_DIR"}
    for name, one in SERVICES.items():
        ours = {variable for variable in one.get("environment", {}) if variable.startswith("PACKHOUSE_")}
        assert ours <= known, name
    for name, one in workers().items():
        grace = float(one["environment"]["PACKHOUSE_SOFT_SHUTDOWN_SECONDS"])
        assert one["stop_grace_period"] == f"{grace + 15:.0f}s", name


def test_what_workers_keep_fits_into_the_file_system_in_memory_that_it_lies_on() -> None:
    for name, one in workers().items():
        slots = int(one["command"][one["command"].index("--concurrency") + 1])
        kept = int(one["environment"]["PACKHOUSE_CACHE_BYTES"]) + int(one["environment"]["PACKHOUSE_BLOB_CACHE_BYTES"])
        kept += slots * int(one["environment"]["PACKHOUSE_CHECK_COPY_BYTES"])
        (size,) = (each["tmpfs"]["size"] for each in one["volumes"] if isinstance(each, dict))
        assert kept < size, name


def test_every_container_is_locked_down_and_bounded_and_nothing_listens_to_the_outside() -> None:
    for name, one in SERVICES.items():
        assert one["read_only"] is True, name
        assert one["cap_drop"] == ["ALL"], name
        assert one["security_opt"] == ["no-new-privileges:true"], name
        assert int(one["user"].partition(":")[0]) > 0, name
        assert {"mem_limit", "cpus", "restart"} <= set(one), name
        tag = one["image"].rpartition(":")[2]
        assert tag not in {"latest", one["image"]}, name
        assert all(port.startswith("127.0.0.1:") for port in one.get("ports", [])), name


def test_what_is_mounted_is_in_the_repository_and_what_is_secret_is_made_or_asked_for(tmp_path: Path) -> None:
    for one in SERVICES.values():
        for volume in one.get("volumes", []):
            if isinstance(volume, str) and volume.startswith("./"):
                assert (DEPLOY / volume.partition(":")[0]).exists(), volume
    subprocess.run(["sh", str(DEPLOY / "make-secrets.sh"), str(tmp_path / "secrets")], check=True)
    made = {file.name for file in (tmp_path / "secrets").iterdir()}
    wanted = {Path(one["file"]).name for one in COMPOSE["secrets"].values()}
    assert wanted - made == {"azure-client-certificate"}
    used = {
        secret if isinstance(secret, str) else secret["source"]
        for one in SERVICES.values()
        for secret in one.get("secrets", [])
    }
    assert used == set(COMPOSE["secrets"])


def test_secrets_are_made_once_and_kept_from_other_users_of_the_host(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    made: dict[str, str] = {}
    for _ in range(2):
        subprocess.run(["sh", str(DEPLOY / "make-secrets.sh"), str(folder), "rediss://host:1/0?x=y"], check=True)
        before, made = made, {file.name: file.read_text() for file in folder.iterdir()}
        assert before in ({}, made)
        password = made["redis-worker-password"]
        assert len(password) == 48
        assert made["worker-redis-url"] == f"rediss://worker:{password}@host:1/0?x=y\n"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert len({text for name, text in made.items() if name.endswith("password")}) == 5
    assert os.access(folder / "flower-basic-auth", os.R_OK)
