"""A weight in a blob comes over the wire once to a machine, however many packages of a run are made of it."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.assets import make_heavy
from support.azure import AzureStandIn
from support.blobs import BlobPlace
from support.farm import Farm, RunMaker

from packhouse.schemas import RunFinished
from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.worker.storage.blob.copies import BlobCopies
from packhouse.worker.storage.local import Roots
from packhouse.worker.storage.readable import Readable, read_full
from packhouse.worker.storage.storage import Storage

# A response that the library gives up half-read leaves its socket to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

MIB = 1 << 20
NOISE = random.Random(3).randbytes(11 * MIB + 7)
PACKAGES: list[dict[str, Any]] = [{"type": "Zipfile", "name": name} for name in ("One", "Two")]


@contextmanager
def opened(place: BlobPlace, folder: Path, path: str = "w.bin", limit: int = 1 << 30) -> Generator[Readable]:
    """A blob as a process opens it that shares a cache folder."""
    storage = Storage(Roots([]), place.clients, copies=BlobCopies(folder, limit))
    with storage.open_file(place.at(path)) as file:
        yield file


def read(file: Readable, begin: int = 0, end: int | None = None) -> bytes:
    end = file.size if end is None else end
    file.read_ahead()
    buffer = memoryview(bytearray(MIB))
    return b"".join(read_full(file, buffer[: min(MIB, end - at)], at).tobytes() for at in range(begin, end, MIB))


def got(azure: AzureStandIn, path: str = "") -> int:
    """Bytes that came from blobs whose path ends so."""
    return sum(one.response_bytes for one in azure.requests if one.method == "GET" and one.path.endswith(path))


def test_the_second_reader_of_a_blob_reads_the_disk(place: BlobPlace, tmp_path: Path) -> None:
    place.put("w.bin", NOISE)
    place.azure.forget_requests()
    for _ in range(2):
        with opened(place, tmp_path / "blobs") as file:
            assert read(file) == NOISE
    with opened(place, tmp_path / "blobs") as file:
        assert read_full(file, memoryview(bytearray(9)), 5 * MIB) == NOISE[5 * MIB : 5 * MIB + 9]
    assert got(place.azure, "w.bin") == len(NOISE)


def test_a_small_blob_is_read_once_in_whatever_order(place: BlobPlace, tmp_path: Path) -> None:
    place.put("m.onnx", NOISE[:MIB])
    place.azure.forget_requests()
    for at in (MIB - 10, 0, 500_000):
        with opened(place, tmp_path / "blobs", "m.onnx") as file:
            assert read_full(file, memoryview(bytearray(10)), at) == NOISE[at : at + 10]
    assert got(place.azure) == MIB


def test_two_readers_at_once_share_what_comes(place: BlobPlace, tmp_path: Path) -> None:
    place.put("w.bin", NOISE)
    place.azure.forget_requests()
    with opened(place, tmp_path / "blobs") as one, opened(place, tmp_path / "blobs") as other:
        for begin in range(0, len(NOISE), 3 * MIB):
            end = min(begin + 3 * MIB, len(NOISE))
            assert read(one, begin, end) == read(other, begin, end) == NOISE[begin:end]
    assert got(place.azure, "w.bin") == len(NOISE)


def test_a_blob_that_was_replaced_is_read_anew_and_one_that_changes_under_way_is_told(
    place: BlobPlace, tmp_path: Path
) -> None:
    place.put("w.bin", NOISE)
    with opened(place, tmp_path / "blobs") as file:
        assert read(file) == NOISE
    place.put("w.bin", NOISE * 2)
    with opened(place, tmp_path / "blobs") as file:
        assert read(file, 0, MIB) == NOISE[:MIB]
        place.put("w.bin", NOISE)
        with pytest.raises(PermanentError) as caught:
            read(file)
    assert caught.value.code is ErrorCode.MODEL_CHANGED
    with opened(place, tmp_path / "blobs") as file:
        assert read(file) == NOISE


@pytest.mark.parametrize("how", ["off", "too small", "removed under way"])
def test_without_a_copy_a_blob_is_read_as_ever(place: BlobPlace, tmp_path: Path, how: str) -> None:
    place.put("w.bin", NOISE)
    folder = tmp_path / "blobs"
    if how == "off":
        folder.touch()
    with opened(place, folder, limit=1000 if how == "too small" else 1 << 30) as file:
        assert read(file, 0, 5 * MIB) == NOISE[: 5 * MIB]
        if how == "removed under way":
            shutil.rmtree(folder)
        assert read(file, 5 * MIB) == NOISE[5 * MIB :]


@pytest.mark.slow
def test_two_packages_and_a_trial_read_each_weight_once_even_where_their_process_is_killed(
    place: BlobPlace, azure_farm: Farm, make_run: RunMaker, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    azure_farm.extra |= {"PACKHOUSE_CACHE_DIR": str(cache), "PACKHOUSE_CHECK_MODELS": "run"}
    event, weights = in_blobs(make_run(packages=PACKAGES, candidates=1), place)
    place.azure.forget_requests()
    azure_farm.start(concurrency=2)
    azure_farm.hold("zip.poured")
    azure_farm.publish(event)
    pid = azure_farm.wait_reached("zip.poured")
    os.kill(pid, 9)
    azure_farm.let_go("zip.poured")
    final = azure_farm.wait_final(event)
    assert final.data.state == "succeeded", final
    assert [package.checks[0].verdict.state for package in final.data.packages] == ["passed"] * 2
    headers = 2 * MIB
    assert weights.stat().st_size <= got(place.azure, weights.name) <= weights.stat().st_size + headers
    copies = [path.stat().st_size for path in (cache / "blobs").iterdir()]
    assert weights.stat().st_size in copies


def in_blobs(event: RunFinished, place: BlobPlace) -> tuple[RunFinished, Path]:
    """The run with its model, which has weights of some MiB beside it, in a container; and the weights."""
    model = Path(str(next(node.model.model_path for node in event.data.footprints[0].nodes if node.model)))
    weights = make_heavy(model, 9 * MIB)
    for path in (model, weights):
        place.put(f"run/{path.name}", path.read_bytes())
    url = str(place.root.child(f"run/{model.name}"))
    return RunFinished.model_validate_json(event.to_wire().replace(str(model).encode(), url.encode())), weights
