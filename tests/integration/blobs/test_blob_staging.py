from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper
from redis import Redis
from support.blobs import BlobPlace
from support.farm import Farm, RunMaker

from packhouse.producers import blob_staging
from packhouse.producers.blob_staging import SAS_TOKEN, stage_to_blob
from packhouse.producers.cli.group import run as packhouse
from packhouse.schemas.errors import ErrorCode, PermanentError, TransientError
from packhouse.schemas.events import FinishedRun, RunFinished
from packhouse.schemas.footprint import ModelConfig
from packhouse.schemas.keys import FIELD, Keys
from packhouse.schemas.selection import candidates

# A response that the library gives up half-read leaves its socket to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

MIB = 1 << 20
SAMPLE = "olive-0.6.2-cpu-and-openvino"


@pytest.fixture
def signed(place: BlobPlace, monkeypatch: pytest.MonkeyPatch) -> str:
    """The environment of an engine that has a signature and no identity."""
    for name in ("AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID"):
        monkeypatch.delenv(name)
    place.access.credential(place.root)
    monkeypatch.setenv(SAS_TOKEN, "?" + place.access.signatures[0])
    return place.access.signatures[0]


def with_models(event: RunFinished, *paths: Path) -> FinishedRun:
    nodes = list(event.data.footprints[0].nodes)
    for number, path in enumerate(paths):
        model = ModelConfig(type="ONNXModel", config={"model_path": str(path)})
        nodes[1 + number] = nodes[1 + number].model_copy(update={"model": model})
    footprint = event.data.footprints[0].model_copy(update={"nodes": nodes})
    return event.data.model_copy(update={"footprints": [footprint]})


def model(path: Path, weights: bytes, name: str = "w 1.bin") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tensor = TensorProto(name="w", data_type=TensorProto.UINT8, dims=[len(weights)], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", name), ("offset", "0"), ("length", str(len(weights)))):
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(helper.make_model(helper.make_graph([], path.stem, [], [], [tensor])).SerializeToString())
    (path.parent / name).write_bytes(weights)
    return path


def model_paths(run: FinishedRun) -> list[str]:
    models = [node.model for footprint in run.footprints for node in candidates(footprint)]
    return [str(each.model_path) for each in models if each]


def test_each_distinct_file_is_uploaded_once(place: BlobPlace, signed: str, make_run: RunMaker, tmp_path: Path) -> None:
    weights = os.urandom(20 * MIB)
    first = model(tmp_path / "cache" / "a" / "m 1.onnx", weights)
    second = model(tmp_path / "cache" / "b" / "m.onnx", weights)
    third = model(tmp_path / "cache" / "a" / "m 2.onnx", weights)
    event = with_models(make_run(candidates=3), first, second, third)
    told: list[tuple[int, int]] = []
    url = str(place.root.child("staged/ü"))
    staged = stage_to_blob(event, url, progress=lambda done, total: told.append((done, total)))
    models = sum(path.stat().st_size for path in (first, second, third))
    assert 20 * MIB + models <= place.sent() < 20 * MIB + models + 5000
    assert told[-1][0] == told[-1][1]
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    paths = model_paths(staged)
    assert all(path.startswith(url + "/") for path in paths)
    assert paths[0].rpartition("/")[0] == paths[2].rpartition("/")[0]
    assert url in staged.engine.directories
    assert len(place.names()) == 5
    for path, source in zip(paths, (first, second, third), strict=True):
        folder = path.rpartition("/")[0]
        with place.storage.open_file(place.at(f"staged/ü/{folder.rpartition('/')[2]}/w 1.bin")) as blob:
            assert blob.size == 20 * MIB
        name = path.rpartition("/")[2].replace("%20", " ")
        assert place.content(f"staged/ü/{folder.rpartition('/')[2]}/{name}") == source.read_bytes()
    place.azure.forget_requests()
    os.utime(first, (1, 1))
    assert stage_to_blob(event, url + "/") == staged
    assert place.sent() < 5000


def test_a_run_without_the_libraries_for_azure(make_run: RunMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "azure.storage.blob", None)
    with pytest.raises(PermanentError) as caught:
        stage_to_blob(make_run().data, "https://acct1.blob.core.windows.net/models")
    assert caught.value.code is ErrorCode.LOCATION_UNSUPPORTED
    assert "packhouse[azure]" in caught.value.fix


@pytest.mark.slow
def test_what_azure_answers_is_told_without_the_signature(
    place: BlobPlace, signed: str, make_run: RunMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    event = with_models(make_run(candidates=1), model(tmp_path / "cache" / "m.onnx", bytes(10 * MIB)))
    signature = signed.partition("sig=")[2].partition("&")[0]
    for fault, kind in (({"status": 403, "code": "X"}, PermanentError), ({"status": 429, "code": "X"}, TransientError)):
        with place.azure.faults.on(method="PUT", times=None, **fault), pytest.raises(kind) as caught:  # pyright: ignore[reportArgumentType]
            stage_to_blob(event, str(place.root.child("staged")))
        assert signature not in f"{caught.value!r} {caught.value.__cause__!r}"
    packaging = tmp_path / "packaging.json"
    packaging.write_text('{"type": "Zipfile"}')
    options = ["publish", str(tmp_path), "--packaging-config", str(packaging)]
    assert packhouse([*options, "--stage-to", f"{place.root}/x?{signed}"]) != 0
    assert signature not in "".join(capsys.readouterr())


@pytest.mark.slow
def test_a_run_is_staged_to_blobs_published_and_packaged_by_a_worker_that_does_not_see_its_disk(
    place: BlobPlace, data: Path, tmp_path: Path, azure_farm: Farm, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = azure_farm.settings
    monkeypatch.setenv("PACKHOUSE_REDIS_URL", settings.redis_url)
    monkeypatch.setenv("PACKHOUSE_NAMESPACE", settings.namespace)
    packaging = tmp_path / "packaging.json"
    packaging.write_text('{"type": "Zipfile", "name": "A"}')
    source = data / SAMPLE / "output_dir"
    options = ["publish", str(source), "--packaging-config", str(packaging), "--stage-to", str(place.root.child("m"))]
    options += ["--map", f"/srv/olive={data / SAMPLE}", "--map", f"{source}={place.root.child('out')}"]
    assert packhouse(options) == 0
    assert packhouse(options) == 0
    entries: Any = redis.xrange(Keys(settings.namespace).run_queue)
    events = [RunFinished.model_validate_json(fields[FIELD.encode()]) for _, fields in entries]
    assert len({event.content_digest for event in events}) == 1
    assert all(path.startswith(str(place.root.child("m"))) for path in model_paths(events[0].data))
    azure_farm.start()
    final = azure_farm.wait_final(events[0])
    [package] = final.data.packages
    assert package.state == "succeeded", package
    assert package.path == str(place.root.child("out/A.zip"))
    assert "out/A.zip" in place.names()


def test_signing_in_without_a_signature_is_as_everywhere_in_azure(place: BlobPlace, make_run: RunMaker) -> None:
    assert SAS_TOKEN not in os.environ
    credential = blob_staging._credential()
    assert type(credential).__name__ == "DefaultAzureCredential"
    credential.close()
    staged = stage_to_blob(make_run().data, str(place.root.child("staged")))
    assert all(path.startswith(str(place.root)) for path in model_paths(staged))
