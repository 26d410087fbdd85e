"""Shared access signatures in events and of datastores: after success and failure, everywhere that anything is left."""

from __future__ import annotations

import base64
import json
import re
import threading
import urllib.request
import zipfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.assets import DATA, MODELS, client_of
from support.azure import AzureStandIn
from support.blobs import BlobPlace
from support.farm import Farm, RunMaker, wait_for
from support.server import free_port

from packhouse.schemas import RejectedEvent, RunFinished
from packhouse.schemas.status import Asset

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]

SECRET = "c2VjcmV0LXNpZ25hdHVyZQ"
QUERY = f"?sv=2024-11-04&se=2030-01-01&sig={SECRET}%3D"
ANY = re.compile(rb"sig(?:=|%3[Dd]|\\u003d)[A-Za-z0-9+/%]{20,}")
"""A signature of whichever address: those of datastores are not known to the test."""


@pytest.fixture
def place(azure_here: AzureStandIn) -> Iterator[BlobPlace]:
    """The default container of the stand-in, empty."""
    place = BlobPlace(azure_here)
    yield place
    place.close()


def leaks(texts: Mapping[str, bytes]) -> list[str]:
    return sorted(name for name, text in texts.items() if SECRET.encode() in text or ANY.search(text))


def in_redis(farm: Farm) -> dict[str, bytes]:
    """Every value below the namespace, by key and field."""
    redis: Any = farm.redis
    found: dict[str, bytes] = {}
    readers: dict[str, Any] = {
        "string": lambda key: {"": redis.get(key)},
        "hash": redis.hgetall,
        "list": lambda key: dict(enumerate(redis.lrange(key, 0, -1))),
        "set": lambda key: dict(enumerate(redis.smembers(key))),
        "zset": lambda key: dict(enumerate(redis.zrange(key, 0, -1))),
        "stream": lambda key: {
            f"{at} {name}": text for at, fields in redis.xrange(key) for name, text in fields.items()
        },
    }  # fmt: skip
    for key in redis.scan_iter(f"{farm.keys.prefix}*"):
        values = readers[str(redis.type(key))](key)
        found |= {f"{key} {name}": f"{name} {value}".encode() for name, value in values.items()} | {
            f"{key}": key.encode()
        }
    return found


def in_files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, those in ZIPs too, and every name."""
    found: dict[str, bytes] = {}
    for path in folder.rglob("*"):
        found[f"name of {path}"] = str(path).encode()
        if path.is_file() and not path.is_symlink():
            found[str(path)] = path.read_bytes()
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    found |= {f"{path}!{name}": archive.read(name) for name in archive.namelist()}
    return found


@contextmanager
def overheard(farm: Farm) -> Generator[dict[str, bytes]]:
    """What is sent on channels, such as Celery's events, which Flower shows; and the command lines of processes."""
    heard: dict[str, bytes] = {}
    over = threading.Event()

    def listen() -> None:
        with farm.redis.pubsub(ignore_subscribe_messages=True) as channel:
            channel.psubscribe("*")
            while not over.is_set():
                if (message := channel.get_message(timeout=0.1)) is not None:
                    # Kombu packs what it sends.
                    packed = re.search(r'"body": ?"([A-Za-z0-9+/=]+)"', str(message["data"]))
                    body = base64.b64decode(packed[1]) if packed else b""
                    heard[f"on channel {len(heard)}"] = str(message).encode() + body
                for worker in farm.workers:
                    for process in worker.pool if worker.runs else []:
                        try:
                            heard[f"command line {process.pid}"] = " ".join(process.cmdline()).encode()
                        except psutil.Error:
                            continue

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield heard
    finally:
        over.set()
        thread.join()


def signed(event: RunFinished, *, models: list[str], output_dir: str | None = None) -> bytes:
    """The event with other models, and an address with a signature in every text that is for people or programs."""
    document = json.loads(event.to_wire())
    said = f"https://other.blob.core.windows.net/c/m.onnx{QUERY}"
    data = document["data"]
    data["engine"] |= {"name": f"olive {said}", "version": said}
    data["output_dir"] = output_dir or data["output_dir"]
    nodes = [node for node in data["footprints"][0]["nodes"] if node.get("model")]
    for node, path in zip(nodes, models, strict=True):
        node["model_id"] = f"{node['model_id']} {said}"
        node["from_pass"] = said
        node["pass_run_config"] = {said: [said], "url": said.replace("&", "%26").replace("sig=", "sig%3D")}
        node["metrics"][said] = {"value": 1.0, "priority": 2, "higher_is_better": True}
        node["model"]["config"] |= {
            "model_path": path,
            "model_attributes": {"from": said, said: said},
            "inference_settings": {"session_options": {said: said}, "execution_provider": ["CPUExecutionProvider"]},
        }
    return json.dumps(document).encode()


def test_a_signature_is_left_nowhere_but_in_the_event_itself(
    farm: Farm, place: BlobPlace, make_run: RunMaker, tmp_path: Path
) -> None:
    port = free_port()
    place.azure.remote.datastores("Sas")
    content = make_run.model(0).read_bytes()
    good = str(place.put("in/model.onnx", content))
    farm.extra["PACKHOUSE_AZURE_ACCOUNTS"] = f"{place.root.account}/{place.root.container}"
    own = {"PACKHOUSE_CHECK_MODELS": "run", "PACKHOUSE_TRACES": str(tmp_path / "traces.jsonl")}
    own |= {"PACKHOUSE_RUN_DIR": str(tmp_path / "run"), "PACKHOUSE_CACHE_DIR": str(tmp_path / "cache")}
    farm.extra |= own | {"PACKHOUSE_LOG_FORMAT": "json", "PACKHOUSE_METRICS_PORT": str(port)}
    farm.start()
    del farm.extra["PACKHOUSE_METRICS_PORT"]
    farm.extra |= {"PACKHOUSE_LOG_FORMAT": "text", "PACKHOUSE_RUN_DIR": str(tmp_path / "run-2")}
    farm.start()
    zipped = {"type": "Zipfile", "name": "p"}
    runs = {
        "made": ([zipped, MODELS, DATA], good, None),
        "refused model": ([zipped, MODELS], good + QUERY, None),
        "model not there": ([zipped, MODELS], str(place.root.child("in/none.onnx")) + QUERY, None),
        "refused place": ([zipped], good, str(place.root.child("out")) + QUERY),
    }
    made: list[Asset] = []
    with overheard(farm) as texts:
        for name, (packages, model, output) in runs.items():
            event = make_run(name, packages=packages, candidates=1)
            farm.publish(signed(event, models=[model], output_dir=output))
            final = farm.wait_end(event, seconds=120)
            if isinstance(final, RejectedEvent):
                assert name == "refused place"
                continue
            states = {package.state for package in final.data.packages}
            assert states == ({"succeeded"} if name == "made" else {"failed"}), (name, final)
            made += [asset for package in final.data.packages for asset in package.assets]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            texts["metrics"] = answer.read()
        wait_for((tmp_path / "traces.jsonl").exists, what="traces")
    client = client_of(place.azure)
    for operations, asset in zip((client.models, client.data), made, strict=True):
        texts[asset.uri] = str(operations.get(asset.name, asset.version).__dict__).encode()
    texts |= {f"blob {name}": place.content(name) for name in place.names() if not name.startswith("in/")}
    texts |= in_files(tmp_path)
    kept = in_redis(farm)
    assert len(texts) > 30
    assert any(b"task-received" in text for text in texts.values()), "Celery's events were heard"
    assert leaks(texts) == []
    assert {_by_need(farm, name) for name in leaks(kept)} == {"event of a run", "dead letter"}


def _by_need(farm: Farm, where: str) -> str:
    """What of the ledger an event is kept in; a place where none should be, as it is."""
    if where.startswith(f"{farm.keys.dead_letters} ") and where.endswith(" event"):
        return "dead letter"
    return "event of a run" if re.fullmatch(rf"{re.escape(farm.keys.prefix)}run:[^: ]+ event", where) else where


def test_what_leaks_is_found(farm: Farm, tmp_path: Path) -> None:
    (tmp_path / "a").write_text(f"x sig={SECRET}")
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("c", "sig=" + "A" * 40)
    assert leaks(in_files(tmp_path)) == [str(tmp_path / "a"), f"{tmp_path / 'b.zip'}!c"]
    farm.redis.hset(f"{farm.keys.prefix}h", "field", SECRET)
    assert leaks(in_redis(farm)) == [f"{farm.keys.prefix}h field"]
