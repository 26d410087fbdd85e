"""Engines in other languages: the examples of deploy/engine, run against real workers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import free_port
from support.cache import cached
from support.farm import Farm, RunMaker, quick

from packhouse.schemas import STATUS_EVENT, RunFinished

pytestmark = pytest.mark.full

ENGINE = Path(__file__).parents[2] / "deploy" / "engine"
LANGUAGES = ("sh", "mjs")
KEY = "eu-1:" + "5e" * 32
Publish = Callable[..., "subprocess.CompletedProcess[str]"]


def node_modules() -> Path:
    """What npm gives for the example's package.json; no script of a package is run."""

    def install(folder: Path) -> None:
        shutil.copy(ENGINE / "package.json", folder)
        command = ["npm", "install", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    return cached("npm/engine-example", install) / "node_modules"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engine")


@pytest.fixture(scope="module", params=LANGUAGES)
def program(request: pytest.FixtureRequest, place: Path) -> list[str]:
    if request.param == "sh":
        return [str(ENGINE / "publish.sh")]
    copy = place / "publish.mjs"
    shutil.copy(ENGINE / "publish.mjs", copy)
    modules = place / "node_modules"
    if not modules.exists():
        modules.symlink_to(node_modules())
    return ["node", str(copy)]


def farm_with(url: str, folder: Path, namespace: str, **extra: str) -> Iterator[Farm]:
    farm = Farm(quick(url, namespace, folder), folder / namespace)
    farm.extra = extra
    farm.start()
    yield farm
    farm.close()


@pytest.fixture(scope="module")
def farm(redis_server: str, place: Path) -> Iterator[Farm]:
    (place / "examples").mkdir()
    yield from farm_with(redis_server, place, "examples")


@pytest.fixture(scope="module")
def signed_farm(redis_server: str, place: Path) -> Iterator[Farm]:
    """Takes only what the key has signed."""
    (place / "signed").mkdir()
    yield from farm_with(redis_server, place, "signed", PACKHOUSE_EVENT_KEYS=KEY)


@pytest.fixture
def make_run(place: Path, data: Path, program: list[str]) -> Callable[..., RunFinished]:
    maker = RunMaker(place, data)
    language = program[-1].rpartition(".")[2]
    return lambda run_id, **more: maker(f"{run_id}-{language}", **more)


@pytest.fixture
def publish(program: list[str], tmp_path: Path, redis_server: str) -> Publish:
    def publish(event: bytes, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        file = tmp_path / "event.json"
        file.write_bytes(event)
        told = {"PACKHOUSE_REDIS_URL": redis_server, "PACKHOUSE_NAMESPACE": "examples", **environment}
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PACKHOUSE_")}
        return subprocess.run(
            [*program, str(file), *(arguments or ("60",))],
            env=clean | told, capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip

    return publish


@pytest.mark.parametrize(
    ("packages", "out", "state", "status"),
    [
        ([{"type": "Zipfile", "name": "digits"}], None, "succeeded", 0),
        ([{"type": "Zipfile", "name": "digits"}, {"type": "AzureMLData", "name": "x"}], None, "partly_succeeded", 3),
        ([{"type": "Zipfile", "name": "digits"}], "/elsewhere", "failed", 1),
    ],
)
def test_the_final_event_comes_out_and_the_exit_status_says_how_it_ended(
    farm: Farm, make_run, publish: Publish, packages: list[dict[str, str]], out: str | None, state: str, status: int
) -> None:
    event = make_run(state, packages=packages, out=out)
    done = publish(event.to_wire())
    assert done.returncode == status, done.stderr
    assert done.stderr == ""
    final = STATUS_EVENT.validate_json(done.stdout)
    assert final == farm.wait_final(event)
    assert final.data.state == state  # pyright: ignore[reportAttributeAccessIssue]
    again = publish(event.to_wire())
    assert (again.returncode, STATUS_EVENT.validate_json(again.stdout)) == (status, final)
    assert "was published before" in again.stderr


def test_what_is_unusual_in_a_name_arrives_as_it_is(farm: Farm, make_run, publish: Publish) -> None:
    event = make_run("r\"u'n \\ %s `é` $x", packages=[{"type": "Zipfile"}])
    assert publish(event.to_wire()).returncode == 0
    assert farm.wait_final(event).data.content_digest == event.content_digest


def test_a_run_that_is_rejected_is_told_as_such(farm: Farm, make_run, publish: Publish) -> None:
    event = make_run("wrong").to_wire().replace(b'"m0"', b'"m1"', 1)
    done = publish(event)
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["data"]["error"]["code"] == "event_invalid"


def test_nobody_answers_in_time(make_run, publish: Publish) -> None:
    done = publish(make_run("late").to_wire(), "1", PACKHOUSE_NAMESPACE="nobody")
    assert (done.returncode, done.stdout) == (4, "")
    assert "no final status" in done.stderr


def test_a_server_that_is_not_there_or_an_event_that_is_none_is_said(make_run, publish: Publish) -> None:
    done = publish(make_run("x").to_wire(), PACKHOUSE_REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr
    for event in (b"{}", b"nothing"):
        done = publish(event)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert done.stderr


@pytest.mark.parametrize("program", ["mjs"], indirect=True)
def test_a_signed_event_is_taken_and_one_of_another_key_is_not(signed_farm: Farm, make_run, publish: Publish) -> None:
    told = {"PACKHOUSE_NAMESPACE": "signed"}
    done = publish(make_run("signed").to_wire(), PACKHOUSE_SIGNING_KEY=KEY, **told)
    assert done.returncode == 0, done.stderr
    forged = publish(make_run("forged").to_wire(), "2", PACKHOUSE_SIGNING_KEY=KEY[:-2] + "00", **told)
    assert forged.returncode == 4
    assert signed_farm.redis.xlen(signed_farm.keys.dead_letters) == 1
