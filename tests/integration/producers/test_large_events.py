"""An event too large for a message names its data; without a place for that it is refused before it is sent."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from support.farm import Farm, RunMaker

from packhouse.producers import StatusFeed, publish
from packhouse.producers.cli.group import run as command_line
from packhouse.producers.olive.publishing import publish_output
from packhouse.schemas import ErrorCode, FinishedRun, PermanentError, RunFinished
from packhouse.schemas.keys import FIELD, Keys
from packhouse.schemas.paths import PathMap
from packhouse.schemas.status import CompletedEvent

LIMIT = 1024
"""Bytes that the workers of these tests read of an event: no run is that small, a reference is."""


@pytest.fixture
def small(farm: Farm) -> Farm:
    farm.extra["PACKHOUSE_MAX_EVENT_BYTES"] = str(LIMIT)
    farm.start()
    return farm


def queued(redis: Redis, namespace: str) -> list[bytes]:
    entries: Any = redis.xrange(Keys(namespace).run_queue)
    return [fields[FIELD.encode()] for _, fields in entries]


def test_its_data_goes_into_a_folder_and_twice_the_same_is_one_run(
    small: Farm, make_run: RunMaker, redis_url: str, namespace: str, tmp_path: Path
) -> None:
    event = make_run()
    assert len(event.to_wire()) > LIMIT
    kept = tmp_path / "kept"
    receipts = [
        publish(event, redis_url, namespace=namespace, max_event_bytes=LIMIT, data_folder=kept) for _ in range(2)
    ]
    assert receipts[0].content_digest == receipts[1].content_digest
    with StatusFeed(redis_url, namespace) as feed:
        for receipt in receipts:
            final = feed.wait(event.run, 60, content_digest=receipt.content_digest, after=receipts[0].entry_id)
            assert isinstance(final, CompletedEvent), final
            assert final.data.state == "succeeded"
    assert len(small.finals()) == 1
    (document,) = kept.iterdir()
    assert FinishedRun.model_validate_json(document.read_bytes()) == event.data


def test_the_folder_of_staged_models_takes_it(
    small: Farm, redis_url: str, namespace: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "olive"
    shutil.copytree(data / "olive-0.13.0-search", run)
    output = run / "output_dir"
    for file in output.rglob("*.json"):
        file.write_text(file.read_text().replace("/srv/olive", str(run)))
    monkeypatch.setenv("PACKHOUSE_MAX_EVENT_BYTES", str(LIMIT))
    kept = tmp_path / "kept"
    published = publish_output(output, {"type": "Zipfile"}, stage_to=kept, redis_url=redis_url, namespace=namespace)
    final = published.wait(60)
    assert isinstance(final, CompletedEvent), final
    assert final.data.state == "succeeded"
    (tmp_path / "packaging.json").write_text('{"type": "Zipfile", "name": "other"}')
    options = ["publish", str(output), "--packaging-config", str(tmp_path / "packaging.json"), "--wait"]
    options += ["--redis-url", redis_url, "--namespace", namespace]
    assert command_line([*options, "--stage-to", str(kept)]) == 0
    assert len(list(kept.glob("*.json"))) == 2


def test_the_document_is_named_as_the_worker_finds_it(
    make_run: RunMaker, redis: Redis, redis_url: str, namespace: str, tmp_path: Path
) -> None:
    publish(
        make_run(),
        redis_url,
        namespace=namespace,
        max_event_bytes=LIMIT,
        data_folder=tmp_path / "kept",
        data_mapping=PathMap.parse([f"{tmp_path}=/mnt/farm"]),
    )
    (text,) = queued(redis, namespace)
    (document,) = (tmp_path / "kept").iterdir()
    assert f'"dataref":"/mnt/farm/kept/{document.name}"'.encode() in text
    assert f'"datarefsha256":"{document.stem}"'.encode() in text
    assert len(text) <= LIMIT


def test_without_a_folder_it_is_refused_and_nothing_is_sent(
    make_event: Callable[..., RunFinished], redis: Redis, redis_url: str, namespace: str
) -> None:
    event = make_event()
    data = event.data.model_copy(update={"output_dir": "/" + "x" * 2**24})
    with pytest.raises(PermanentError) as caught:
        publish(event.model_copy(update={"data": data}), redis_url, namespace=namespace)
    assert caught.value.code == ErrorCode.EVENT_TOO_LARGE
    assert "--stage-to DIRECTORY" in caught.value.fix
    assert queued(redis, namespace) == []


def test_the_limit_of_the_environment_must_be_a_number(
    data: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PACKHOUSE_MAX_EVENT_BYTES", "16 MiB")
    with pytest.raises(PermanentError, match="'16 MiB'"):
        publish_output(data / "olive-0.13.0-search/output_dir", {"type": "Zipfile"}, redis_url=redis_url)
