"""Workers of an earlier state of this repository and of today, on one ledger and under load."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.engine_child import LETTERS
from support.engines import publishing
from support.farm import Farm, quick, wait_for

from packhouse.schemas import CompletedEvent
from packhouse.schemas.keys import DEFAULT_NAMESPACE
from packhouse.worker.ledger.version import VERSION

pytestmark = [pytest.mark.full]

ROOT = Path(__file__).parents[2]
SOURCES = ("schemas", "producers", "worker", "deploy/local")
POURED = "zip.poured"
BACK = 40
"""Commits between the earlier state and this one."""


def git(*arguments: str) -> bytes | None:
    """What git says, or None where it cannot: without git, without a checkout, without history."""
    if shutil.which("git") is None:
        return None
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None


def earlier() -> str | None:
    """The newest release before this state; where there is none, a state of some time ago."""
    tag = git("describe", "--tags", "--match", "v*", "--abbrev=0", "HEAD~1")
    commit = tag or git("rev-parse", "--verify", "--quiet", f"HEAD~{BACK}")
    return commit.decode().strip() if commit else None


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    commit = earlier()
    archive = git("archive", "--format=tar", commit, *SOURCES) if commit else None
    if archive is None:
        pytest.skip("this checkout has no history of the repository")
    folder = tmp_path / "earlier"
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    return folder


@pytest.fixture
def run(tmp_path: Path, data: Path) -> Path:
    """A run of Olive that engines and workers find in the same place."""
    return shutil.copytree(data / "olive-0.6.2-cpu-and-openvino", tmp_path / "run")


@pytest.fixture
def farms(own_server: Any, sources: Path, run: Path, tmp_path: Path) -> Iterator[tuple[Farm, Farm]]:
    """Workers of the earlier state and of this one."""
    made: list[Farm] = []
    for name in ("old", "new"):
        folder = tmp_path / name
        folder.mkdir()
        made.append(Farm(quick(own_server.url, DEFAULT_NAMESPACE, run), folder, site=name))
        made[-1].extra["PACKHOUSE_PATH_MAPS"] = f"/srv/olive={run}"
    old, new = made
    old.extra["PYTHONPATH"] = os.pathsep.join(str(sources / one) for one in SOURCES)
    yield old, new
    for farm in made:
        farm.close()


def test_workers_of_an_earlier_state_and_of_this_one_share_a_ledger_under_load(
    farms: tuple[Farm, Farm], run: Path
) -> None:
    old, new = farms
    output = run / "output_dir"
    before = set(output.iterdir())
    killed, drained = old.start(2)
    origin = subprocess.run(
        [sys.executable, "-c", "import packhouse.worker as at; print(*at.__path__)"],
        env=old.environment(),
        check=True,
        capture_output=True,
        text=True,
    )
    assert origin.stdout.split()[0].startswith(str(run.parent / "earlier"))
    old.hold(POURED)
    # Engines are upgraded after workers.
    with publishing(old.settings.redis_url, output, first=1, pause=0.5, environment=old.environment()) as numbers:
        held = old.wait_reached(POURED)
        old.wait_reached(POURED, besides=(held,))
        new.start()
        wait_for(lambda: made_by(new, "new") >= 4, what=f"packages of this state\n{new.logs()[-4000:]}")
        assert new.redis.get(f"{new.keys.prefix}version") == str(VERSION)
        killed.kill()
        new.start()
        # The other worker of the earlier state is held, so that it cannot be the one who takes over.
        wait_for(lambda: made_by(new, "new", '"attempts":2'), what=f"the package of the killed\n{new.logs()[-4000:]}")
        old.let_go(POURED)
        wait_for(lambda: made_by(new, "new") >= 8, what=f"packages of this state\n{new.logs()[-4000:]}")
        # It ends by itself, with status 5, where this state has raised the ledger's version over its own.
        assert drained.stop() in (0, 5)
        wait_for(lambda: made_by(new, "new") >= 12, what=f"packages of this state\n{new.logs()[-4000:]}")
    wanted = {f"run-{number}" for number in numbers}
    wait_for(lambda: {final.subject for final in new.finals()} >= wanted, what=f"finals\n{new.logs()[-4000:]}")
    finals = new.finals()
    assert Counter(final.subject for final in finals) == dict.fromkeys(wanted, 1)
    packages = [package for final in finals if isinstance(final, CompletedEvent) for package in final.data.packages]
    assert {(package.state, package.error) for package in packages} == {("succeeded", None)}
    assert len(packages) == len(LETTERS) * len(numbers)
    again = [package for package in packages if package.attempts > 1]
    assert {str(package.worker).partition("@")[2] for package in again} == {"new"}, "poured from the plans of others"
    names = {f"{letter}{number}" for number in numbers for letter in LETTERS}
    assert {path.name for path in set(output.iterdir()) - before if path.suffix == ".zip"} == {
        f"{one}.zip" for one in names
    }
    assert not [path.name for path in output.iterdir() if path.name.startswith(".")]
    for name in names:
        with zipfile.ZipFile(output / f"{name}.zip") as archive:
            assert archive.testzip() is None, name
    spread = Counter(str(package.worker) for package in packages)
    sys.stdout.write(f"runs: {len(numbers)}; packages by worker: {dict(spread)}; taken over: {len(again)}\n")


def made_by(farm: Farm, site: str, *marks: str) -> int:
    """How many packages the workers of a site have made, of those whose events hold all the marks."""
    wanted = ('"type":"packhouse.package.succeeded"', f'@{site}"', *marks)
    return sum(all(mark in text for mark in wanted) for text in farm.stream(farm.keys.status))
