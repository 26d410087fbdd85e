"""A file that this machine has digested is not digested again, whatever package it goes into."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from support.farm import Farm, RunMaker, wait_for
from support.pouring import EngineStorage, Recorder

from packhouse.schemas import RunFinished
from packhouse.schemas.errors import TransientError
from packhouse.worker.packagers.digests import shared_digest
from packhouse.worker.packagers.zipfile import ZipfilePackager
from packhouse.worker.storage import local
from packhouse.worker.storage.digest import FileDigest
from packhouse.worker.storage.known import LEAST, KnownDigests
from packhouse.worker.storage.local import OpenFile

Model = Callable[..., Path]
PACKAGES = [{"type": "Zipfile", "name": name} for name in ("One", "Two")]
SETTLED = 21 * 10**8
MARKER = FileDigest("5" * 64, 0x12345678, 0)
"""No digest of anything: where it turns up, nothing was computed."""


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files written this moment are as good as old ones."""
    monkeypatch.setattr(local, "_SETTLED", -(10**9))


class Touching(Recorder):
    """Changes the mode of a file when a MiB of one has been read."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def advance(self, count: int) -> None:
        super().advance(count)
        if count == 1 << 20:
            self.path.chmod(0o600 if self.path.stat().st_mode & 0o077 else 0o644)


class Marking(KnownDigests):
    """Keeps a digest of nothing in the place of each that was computed."""

    def keep(self, identity: str, digest: FileDigest) -> None:
        super().keep(identity, dataclasses.replace(MARKER, size=digest.size))


def digests_in(path: Path) -> dict[str, str]:
    with zipfile.ZipFile(path) as archive:
        files = json.loads(archive.read("manifest.json"))["files"]
    return {file["path"]: file["sha256"] for file in files if file["path"].endswith((".onnx", ".bin"))}


@pytest.mark.usefixtures("settled")
def test_the_second_package_takes_the_digests_of_the_first(farm: EngineStorage, model: Model, tmp_path: Path) -> None:
    source = model(farm.root / "m.onnx", external="w.bin", size=256)
    event = farm.made_up({"model_path": farm.engine_path(source)})

    def poured(store: KnownDigests) -> dict[str, str]:
        job = dataclasses.replace(farm.job(event), digests=store)
        packager = ZipfilePackager()
        return digests_in(farm.here(packager.pour(job, packager.plan(job)).path))

    first = poured(Marking(tmp_path / "digests"))
    assert set(first) == {f"CandidateModels/cpu-cpu/BestCandidateModel_1/{name}" for name in ("model.onnx", "w.bin")}
    second = poured(KnownDigests(tmp_path / "digests"))
    large, small = sorted(first, key=lambda path: "w.bin" not in path)
    assert second == {large: MARKER.sha256, small: first[small]}

    job = dataclasses.replace(farm.job(event), digests=KnownDigests(tmp_path / "digests"))
    with job.storage.open_file(job.locate(farm.engine_path(source.with_name("w.bin")))) as file:
        assert shared_digest(job, file) == MARKER.sha256
    before = source.stat().st_mtime_ns
    weights = source.with_name("w.bin")
    weights.write_bytes(weights.read_bytes())
    os.utime(weights, ns=(before, before))
    assert poured(KnownDigests(tmp_path / "digests")) == first


@pytest.mark.usefixtures("settled")
def test_what_an_asset_was_planned_with_a_zip_knows(farm: EngineStorage, tmp_path: Path) -> None:
    weights = farm.root / "w.bin"
    weights.write_bytes(os.urandom(5 * LEAST))
    job = dataclasses.replace(farm.job(farm.made_up()), digests=KnownDigests(tmp_path / "digests"))
    with job.storage.open_file(job.locate(farm.engine_path(weights))) as file:
        identity = file.identity()
        assert identity
        sha256 = shared_digest(job, file)
    assert job.digests.get(identity) == FileDigest.of(weights.read_bytes())
    assert sha256 == FileDigest.of(weights.read_bytes()).sha256


@pytest.mark.usefixtures("settled")
def test_a_file_touched_while_its_known_digest_was_used_makes_the_package_anew(
    farm: EngineStorage, model: Model, tmp_path: Path
) -> None:
    source = model(farm.root / "m.onnx", size=1024)
    event = farm.made_up({"model_path": farm.engine_path(source)})
    job = dataclasses.replace(farm.job(event), digests=KnownDigests(tmp_path / "digests"))
    packager = ZipfilePackager()
    plan = packager.plan(job)
    packager.pour(job, plan)
    with pytest.raises(TransientError, match="was touched"):
        packager.pour(dataclasses.replace(job, progress=Touching(source)), plan)
    packager.pour(job, plan)


@pytest.mark.slow
def test_workers_of_a_machine_share_what_they_have_digested(
    farm_on: Callable[[str], Farm], redis_url: str, make_run: RunMaker, tmp_path: Path
) -> None:
    workers = farm_on(redis_url)
    folder = tmp_path / "cache"
    workers.extra["PACKHOUSE_CACHE_DIR"] = str(folder)
    store = KnownDigests(folder / "digests")
    weights = tmp_path / "models" / "m0" / "w.bin"
    event, again = (with_folder(make_run(run, packages=PACKAGES), weights.parent) for run in ("r1", "r2"))
    weights.write_bytes(os.urandom(5 << 20))
    workers.start(2)
    written = weights.stat().st_ctime_ns
    wait_for(lambda: time.time_ns() - written > SETTLED, what="the file to be old enough to be trusted")
    workers.publish(event)
    truth = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert digests_of(workers, event) == [truth] * 2

    with OpenFile.of(os.open(weights, os.O_RDONLY), "", "") as file:
        identity = file.identity()
    assert identity
    found = FileDigest.of(weights.read_bytes())
    assert store.get(identity) == found
    store.keep(identity, dataclasses.replace(found, sha256=MARKER.sha256))
    workers.publish(again)
    assert digests_of(workers, again) == [MARKER.sha256] * 2


def with_folder(event: RunFinished, folder: Path) -> RunFinished:
    """The run with a folder as the model of its first candidate."""
    text = event.to_wire().replace(str(folder / "model.onnx").encode(), str(folder).encode())
    return RunFinished.model_validate_json(text.replace(b'"ONNXModel"', b'"PyTorchModel"', 1))


def digests_of(workers: Farm, event: RunFinished) -> list[str]:
    """What the manifest of each package of a run says of the weights."""
    final = workers.wait_final(event)
    assert final.data.state == "succeeded", final
    return [
        digests_in(Path(str(package.path)))["CandidateModels/cpu-cpu/BestCandidateModel_1/w.bin"]
        for package in final.data.packages
    ]
