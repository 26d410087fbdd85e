"""Workers of several releases and one ledger: what is read, what is refused, and what becomes of the work."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from support.farm import Farm, RunMaker, wait_for

from packhouse.schemas import CompletedEvent, RunRef, run_key
from packhouse.worker.ledger import LedgerVersionError
from packhouse.worker.ledger.version import OLDEST, VERSION

POURED = "zip.poured"
SOURCE = "/test/engine"


def number(farm: Farm) -> str | None:
    value = farm.redis.get(f"{farm.keys.prefix}version")
    return None if value is None else str(value)


def upgrade_elsewhere(farm: Farm) -> None:
    """What the first worker of the next release does that others cannot read."""
    farm.redis.set(f"{farm.keys.prefix}version", VERSION + 1)


def restore(farm: Farm, records: str, folder: Path) -> dict[str, Any]:
    """Put records of the ledger into the server; returns them."""
    text = records.replace("@namespace@", farm.settings.namespace).replace("@folder@", str(folder))
    keys: dict[str, Any] = json.loads(text)
    for key, record in keys.items():
        value = record["value"]
        match record["type"]:
            case "string":
                farm.redis.set(key, value)
            case "hash":
                farm.redis.hset(key, mapping=value)
            case "zset":
                farm.redis.zadd(key, dict(value))
            case _:
                for entry, fields in value:
                    farm.redis.xadd(key, fields, id=entry)
    return keys


def plan_of(farm: Farm, records: dict[str, Any], run: str) -> dict[str, Any]:
    key = run_key(RunRef(source=SOURCE, id=run))
    return json.loads(records[f"{farm.keys.prefix}job:{key}:0"]["value"]["plan"])


def test_what_workers_of_version_1_left_is_finished_by_those_of_today(
    farm: Farm, make_run: RunMaker, tmp_path: Path, data: Path
) -> None:
    make_run("models-to-be-there")
    records = restore(farm, (data / "ledger-version-1.json").read_text("utf-8"), tmp_path)
    plans = {run: plan_of(farm, records, run) for run in ("leased", "delayed")}
    for file in (file for plan in plans.values() for file in plan["files"] if file["source"]):
        written_at = int(file["source"]["mark"])
        os.utime(file["source"]["shown"], ns=(written_at, written_at))
    farm.start()
    keys = [farm.keys.final(RunRef(source=SOURCE, id=run)) for run in ("leased", "delayed", "waiting", "late")]
    wait_for(lambda: farm.redis.exists(*keys) == len(keys), what=f"the final events\n{farm.logs()[-4000:]}")
    finals = farm.finals()
    assert sorted(final.subject for final in finals) == ["delayed", "ended", "late", "leased", "waiting"]
    assert {final.data.state for final in finals if isinstance(final, CompletedEvent)} == {"succeeded"}
    for run, plan in plans.items():
        archive = zipfile.ZipFile(tmp_path / "out" / run / plan["name"])
        with archive:
            written = {file["path"]: file["made"] for file in plan["files"] if file["made"] is not None}
            assert {path: archive.read(path).decode() for path in written} == written, "poured from the frozen plan"
    assert number(farm) == str(VERSION)


def test_a_new_ledger_has_the_number_of_who_began_it(farm: Farm) -> None:
    assert number(farm) is None
    farm.ledger.check_version()
    assert number(farm) == str(VERSION)


@pytest.mark.parametrize("found", [OLDEST - 1, VERSION + 1])
def test_no_script_touches_a_ledger_of_a_version_that_is_not_known(farm: Farm, found: int) -> None:
    farm.redis.set(f"{farm.keys.prefix}version", found)
    scripts = Path(str(sys.modules["packhouse.worker.ledger"].__file__)).parent / "scripts"
    names = sorted(script.stem for script in scripts.glob("*.lua") if script.stem != "common")
    assert {"open", "lease", "settle", "sweep", "version"} <= set(names)
    for name in names:
        with pytest.raises(LedgerVersionError, match=str(found)) as raised:
            farm.ledger.call(name, *["1"] * 9)
        assert f"version {found};" in raised.value.explained.message
    assert farm.redis.keys(f"{farm.keys.prefix}*") == [f"{farm.keys.prefix}version"]


def test_a_worker_that_is_older_than_the_ledger_does_not_start_and_says_why(farm: Farm) -> None:
    upgrade_elsewhere(farm)
    (worker,) = farm.start(ready=False)
    assert worker.process.wait(60) == 5
    told = worker.log.read_text("utf-8")
    assert re.search(rf"^error \[configuration_invalid\]: The ledger is of version {VERSION + 1};", told, re.MULTILINE)
    assert "\nfix: Upgrade this worker" in told
    assert "Traceback" not in told


def test_a_worker_at_work_ends_when_the_ledger_is_upgraded_and_its_work_is_done_by_a_newer_one(
    farm: Farm, make_run: RunMaker
) -> None:
    (old,) = farm.start()
    farm.hold(POURED)
    event = make_run()
    farm.publish(event)
    child = farm.wait_reached(POURED)
    upgrade_elsewhere(farm)
    assert old.process.wait(30) == 5
    wait_for(lambda: not Path(f"/proc/{child}").exists(), what="the end of its pool")
    farm.let_go(POURED)
    assert "[configuration_invalid]" in old.log.read_text("utf-8")
    # This release stands for the newer one, too.
    farm.redis.set(f"{farm.keys.prefix}version", VERSION)
    (new,) = farm.start()
    final = farm.wait_final(event)
    assert (final.data.state, final.data.packages[0].worker) == ("succeeded", new.name)
    beside = sorted(path.name for path in Path(event.data.output_dir).iterdir())
    assert beside == ["OutputModels.report.html", "OutputModels.zip"]


def test_doctor_names_the_version_of_a_ledger_that_is_not_known(farm: Farm) -> None:
    upgrade_elsewhere(farm)
    command = [sys.executable, "-m", "packhouse.producers.cli", "doctor", "--json"]
    done = subprocess.run(
        command, env=farm.environment(), cwd=farm.folder, capture_output=True, text=True, timeout=60, check=False
    )
    (finding,) = [one for one in map(json.loads, done.stdout.splitlines()) if one["name"] == "ledger version"]
    assert (done.returncode, finding["state"]) == (1, "failed")
    assert f"version {VERSION + 1}" in finding["message"]
