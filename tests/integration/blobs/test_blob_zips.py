from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.blobs import BlobPlace
from support.farm import Farm, RunMaker, wait_for

from packhouse.schemas.errors import ErrorCode, PackhouseError, PermanentError, TransientError
from packhouse.schemas.events import RunFinished
from packhouse.schemas.footprint import ModelConfig
from packhouse.schemas.paths import PathMap
from packhouse.worker.azure.access import Azure
from packhouse.worker.ledger import Lease, LeaseLost, Ledger, Notebook, connect
from packhouse.worker.packagers.base import PackageJob, Poured
from packhouse.worker.packagers.zipfile import ZipfilePackager, ZipfilePlan
from packhouse.worker.ranking import rank
from packhouse.worker.runtimes.store import RuntimeStore
from packhouse.worker.settings import Settings
from packhouse.worker.storage.local import Roots
from packhouse.worker.storage.storage import Storage

# A response that the library gives up half-read leaves its socket to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

MIB = 1 << 20


class Progress:
    def __init__(self) -> None:
        self.confirmed: Callable[[], None] = lambda: None

    def stage(self, name: str, total: int = 0) -> None:
        pass

    def advance(self, count: int) -> None:
        pass

    def confirm(self) -> None:
        self.confirmed()

    def commit(self) -> None:
        self.confirmed()


@pytest.fixture
def pour(place: BlobPlace, tmp_path: Path, redis_url: str, namespace: str) -> Callable[..., Poured]:
    settings = Settings(redis_url=redis_url, namespace=namespace, check_models="off")

    def run(event: RunFinished, progress: Progress | None = None, plan: ZipfilePlan | None = None) -> Poured:
        job = PackageJob(
            run=event.run,
            event=event.data,
            config=event.data.packaging_config[0],
            ranking=rank(event.data),
            storage=Storage(Roots([str(tmp_path)]), place.clients).of(event.data),
            mapping=PathMap(),
            token="t1",
            tag="tag",
            progress=progress or Progress(),
            notebook=Notebook(
                Ledger(connect(redis_url), settings), settings, Lease("abcdef", "0", "a1", 1, 0, 0.0, None)
            ),
            azure=Azure(settings),
            settings=settings,
            runtimes=RuntimeStore(settings),
        )
        packager = ZipfilePackager()
        return packager.pour(job, plan or ZipfilePlan.model_validate_json(packager.plan(job).model_dump_json()))

    return run


def with_weights(event: RunFinished, folder: Path, *sizes: int) -> RunFinished:
    """The run with folders of random weights as its candidates."""
    nodes = list(event.data.footprints[0].nodes)
    for number, size in enumerate(sizes):
        path = folder / "models" / f"folder{number}"
        path.mkdir(parents=True)
        (path / "w.bin").write_bytes(os.urandom(size))
        (path / "w.txt").write_bytes(b"deflated " * (size // 9))
        model = ModelConfig(type="PyTorchModel", config={"model_path": str(path)})
        nodes[1 + number] = nodes[1 + number].model_copy(update={"model": model})
    footprint = event.data.footprints[0].model_copy(update={"nodes": nodes})
    return event.model_copy(update={"data": event.data.model_copy(update={"footprints": [footprint]})})


def to_blob(event: RunFinished, url: object) -> RunFinished:
    return event.model_copy(update={"data": event.data.model_copy(update={"output_dir": str(url)})})


def test_a_zip_in_a_blob_has_the_bytes_of_the_local_one(
    place: BlobPlace, make_run: RunMaker, pour: Callable[..., Poured], tmp_path: Path
) -> None:
    event = with_weights(make_run(candidates=4), tmp_path, 20 * MIB + 5, 8 * MIB - 10, 100)
    local = pour(event)
    assert local.path
    remote = pour(to_blob(event, place.root.child("out folder/ü")))
    assert remote.path == str(place.root.child("out folder/ü/OutputModels.zip"))
    assert dataclasses.replace(remote, path=None) == dataclasses.replace(local, path=None)
    data = place.content("out folder/ü/OutputModels.zip")
    assert data == Path(local.path).read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
    blob = place.container.get_blob_client("out folder/ü/OutputModels.zip")
    assert blob.get_blob_properties().content_settings.content_type == "application/zip"
    assert len(blob.get_block_list("committed")[0]) < 20


def test_models_in_blobs_become_a_zip_in_a_blob(
    place: BlobPlace, make_run: RunMaker, pour: Callable[..., Poured], tmp_path: Path
) -> None:
    event = with_weights(make_run(candidates=2), tmp_path, 9 * MIB)
    local = pour(event)
    for path in (tmp_path / "models").rglob("*"):
        if path.is_file():
            place.put(f"m/{path.relative_to(tmp_path)}", path.read_bytes())
    text = event.model_dump_json().replace(str(tmp_path / "models"), str(place.root.child("m/models")))
    remote = pour(to_blob(RunFinished.model_validate_json(text), "azureml://datastores/workspaceblobstore/paths/out"))
    assert remote.path == "azureml://datastores/workspaceblobstore/paths/out/OutputModels.zip"
    assert local.path
    with zipfile.ZipFile(local.path) as one, zipfile.ZipFile(io.BytesIO(place.content("out/OutputModels.zip"))) as two:
        weights = [name for name in one.namelist() if "/w." in name or name.endswith(".onnx")]
        assert len(weights) == 3
        for name in weights:
            assert one.read(name) == two.read(name)


def test_a_blob_appears_only_when_it_is_confirmed_and_names_what_it_replaces(
    place: BlobPlace, make_run: RunMaker, pour: Callable[..., Poured], tmp_path: Path
) -> None:
    event = to_blob(with_weights(make_run(), tmp_path, 9 * MIB), place.root.child("out"))
    progress = Progress()

    def look() -> None:
        seen.append(place.names())

    seen: list[list[str]] = []
    progress.confirmed = look
    first = pour(event, progress)
    assert first.replaced is None
    assert seen == [[], ["out/OutputModels.zip"]]
    assert place.names() == ["out/OutputModels.report.html", "out/OutputModels.zip"]

    def lost() -> None:
        raise LeaseLost

    progress.confirmed = lost
    before = place.content("out/OutputModels.zip")
    other = to_blob(make_run("run-2"), place.root.child("out"))
    with pytest.raises(LeaseLost):
        pour(other, progress)
    assert place.content("out/OutputModels.zip") == before
    second = pour(other)
    assert second.replaced is not None
    assert (second.replaced.digest, second.replaced.bytes) == (first.digest, first.bytes)
    assert len(place.content("out/OutputModels.zip")) == second.bytes
    place.put("out/OutputModels.zip", b"no package of ours")
    third = pour(other)
    assert third.replaced is not None
    assert (third.replaced.digest, third.replaced.bytes) == (None, 18)


def test_a_second_attempt_sends_nothing_that_is_there(
    place: BlobPlace, make_run: RunMaker, pour: Callable[..., Poured], tmp_path: Path
) -> None:
    event = to_blob(with_weights(make_run(), tmp_path, 30 * MIB), place.root.child("out"))
    progress = Progress()

    def lost() -> None:
        raise LeaseLost

    progress.confirmed = lost
    with pytest.raises(LeaseLost):
        pour(event, progress)
    assert place.sent() > 30 * MIB
    for _ in range(2):
        place.azure.forget_requests()
        poured = pour(event)
        assert place.sent() < 100_000
        data = place.content("out/OutputModels.zip")
        assert len(data) == poured.bytes
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.testzip() is None


FORBIDDEN = {"status": 403, "code": "AuthorizationPermissionMismatch"}
BUSY = {"status": 429, "code": "TooManyRequests", "retry_after": 3}
DISCARDED = {"status": 400, "code": "InvalidBlockList"}


@pytest.mark.parametrize(
    ("request_of", "fault", "kind", "code"),
    [
        ("comp=block&", FORBIDDEN, PermanentError, ErrorCode.AZURE_FORBIDDEN),
        ("comp=block&", BUSY, TransientError, ErrorCode.AZURE_UNAVAILABLE),
        ("comp=blocklist", FORBIDDEN, PermanentError, ErrorCode.AZURE_FORBIDDEN),
        ("comp=blocklist", BUSY, TransientError, ErrorCode.AZURE_UNAVAILABLE),
        ("comp=blocklist", DISCARDED, TransientError, ErrorCode.AZURE_UNAVAILABLE),
    ],
)
def test_what_goes_wrong_leaves_no_blob(
    place: BlobPlace,
    make_run: RunMaker,
    pour: Callable[..., Poured],
    request_of: str,
    fault: dict[str, Any],
    kind: type[PackhouseError],
    code: ErrorCode,
) -> None:
    with (
        place.azure.faults.on(method="PUT", path=request_of, times=None, **fault),
        pytest.raises(PackhouseError) as caught,
    ):
        pour(to_blob(make_run(), place.root.child("out")))
    assert (type(caught.value), caught.value.code) == (kind, code)
    assert "sig=" not in f"{caught.value} {caught.value.fix}"
    assert place.names() == []


@pytest.mark.slow
def test_a_worker_that_is_killed_before_the_commit_leaves_a_blob_to_the_next(
    place: BlobPlace, azure_farm: Farm, make_run: RunMaker, tmp_path: Path
) -> None:
    event = to_blob(with_weights(make_run(), tmp_path, 20 * MIB), place.root.child("out"))
    azure_farm.hold("zip.poured")
    [first] = azure_farm.start()
    azure_farm.publish(event)
    azure_farm.wait_reached("zip.poured")
    assert place.names() == []
    first.kill()
    place.azure.forget_requests()
    azure_farm.let_go("zip.poured")
    azure_farm.start()
    final = azure_farm.wait_final(event)
    [package] = final.data.packages
    assert package.state == "succeeded", package
    assert package.path == str(place.root.child("out/OutputModels.zip"))
    blob = place.container.get_blob_client("out/OutputModels.zip")
    sent = sum(one.request_bytes for one in place.azure.requests if "comp=block&" in one.query + "&")
    committed = sum(block.size for block in blob.get_block_list("committed")[0])
    assert committed == package.bytes
    assert sent < committed
    with zipfile.ZipFile(io.BytesIO(place.content("out/OutputModels.zip"))) as archive:
        assert archive.testzip() is None
        manifest = archive.read("manifest.json")
    assert package.digest == f"sha256:{hashlib.sha256(manifest).hexdigest()}"


@pytest.mark.slow
def test_events_that_name_what_is_not_allowed_or_carry_a_signature_fail_and_say_so(
    place: BlobPlace, azure_farm: Farm, make_run: RunMaker
) -> None:
    azure_farm.start()
    azure = place.azure
    elsewhere = f"https://{azure.other_account}.blob.core.windows.net/{azure.other_container}/out"
    forbidden = to_blob(make_run("forbidden"), elsewhere)
    azure_farm.publish(forbidden)
    [package] = azure_farm.wait_final(forbidden).data.packages
    assert package.error
    assert package.error.code is ErrorCode.PATH_FORBIDDEN
    signed = to_blob(make_run("signed"), f"{place.root}/out").to_wire().replace(b'/out"', b'/out?sv=1&sig=SECRET"')
    azure_farm.publish(signed)
    wait_for(lambda: len(azure_farm.finals()) == 2, what="the second final event")
    last = azure_farm.finals()[-1]
    assert "SECRET" not in last.model_dump_json()
    assert "SECRET" not in azure_farm.logs()
    assert last.type == "packhouse.packaging.rejected"
