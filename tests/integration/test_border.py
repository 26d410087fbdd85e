"""Any bytes may come by the run queue: they are answered and kept, and do no harm."""

from __future__ import annotations

import json
import pickle
import random
import uuid
from collections.abc import Callable
from typing import Any, cast

import pytest
from redis import Redis
from support.farm import Farm, RunMaker, wait_for

from packhouse.schemas import RejectedEvent


class _Bomb:
    def __reduce__(self) -> Any:
        return (exec, ("raise SystemExit(1)",))


def envelope(**fields: Any) -> bytes:
    sound = {
        "specversion": "1.0", "id": str(uuid.uuid4()), "source": "/test", "subject": "bad",
        "type": "packhouse.run.finished", "data": {"engine": {"name": "olive"}, "output_dir": "/out"},
    }  # fmt: skip
    return json.dumps({name: value for name, value in (sound | fields).items() if value is not ...}).encode()


def rejected(farm: Farm) -> list[RejectedEvent]:
    return [event for event in farm.finals() if isinstance(event, RejectedEvent)]


GARBAGE: list[bytes] = [
    b"",
    b"{",
    b"\xff\xfe\x00",
    b"null",
    b"17",
    b'"text"',
    b"[]",
    b"{}",
    b"[" * 200_000,
    b'{"data":' + b'{"a":' * 100_000,
    pickle.dumps(_Bomb()),
    pickle.dumps({"id": "x"}, protocol=5),
    b'{"id":"x","source":"s"}',
    random.Random(7).randbytes(10_000),
    b"A" * (50 * 1024 * 1024),
]


def test_garbage_is_buried_and_a_good_run_after_it_is_packaged(farm: Farm, make_run: RunMaker) -> None:
    (worker,) = farm.start()
    for raw in GARBAGE:
        farm.publish(raw)
    farm.redis.xadd(farm.keys.run_queue, {"something": "else"})
    event = make_run()
    farm.publish(event)
    assert farm.wait_final(event).data.state == "succeeded"
    assert worker.process.poll() is None
    assert farm.redis.xlen(farm.keys.run_queue) == 0
    with Redis.from_url(farm.settings.redis_url) as raw_client:
        letters = cast("list[tuple[bytes, dict[bytes, bytes]]]", raw_client.xrange(farm.keys.dead_letters))
    assert len(letters) == len(GARBAGE) + 1
    by_length = {int(fields[b"bytes"]): fields for _, fields in letters}
    assert len(by_length[50 * 1024 * 1024][b"event"]) == 1024 * 1024
    assert by_length[50 * 1024 * 1024][b"digest"].startswith(b"sha256:")


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (lambda: envelope(specversion="2.0"), "specversion"),
        (lambda: envelope(id=...), "id"),
        (lambda: envelope(type="packhouse.run.exploded"), "type"),
        (lambda: envelope(dataschema="urn:packhouse:run-finished:99"), "dataschema"),
        (lambda: envelope(data="text"), "data"),
        (lambda: envelope(data=...), "data"),
        (lambda: envelope(time="yesterday"), "time"),
        (lambda: envelope(data={"engine": {"name": "olive"}}), "data.output_dir"),
        (lambda: envelope(data={"output_dir": "/out"}), "data.engine"),
        (lambda: envelope(data={"engine": {"name": "o"}, "output_dir": "/out", "surprise": 1}), "data.surprise"),
    ],
)
def test_a_bad_event_is_rejected_with_the_field_named(
    bad_events: Callable[[bytes], RejectedEvent], raw: Callable[[], bytes], field: str
) -> None:
    answer = bad_events(raw())
    assert answer.data.error.field == field
    assert answer.subject == "bad"


CONFIGS: list[tuple[Any, str]] = [
    ({"type": "Tarball"}, "data.packaging_config.0.type"),
    ({}, "data.packaging_config.0.type"),
    ([{"type": "Zipfile"}, {"type": "zipfile", "name": "OutputModels"}], "data.packaging_config"),
    ({"type": "Zipfile", "name": "../x"}, "data.packaging_config.0.name"),
    ({"type": "Zipfile", "name": ""}, "data.packaging_config.0.name"),
    ({"type": "Zipfile", "name": "x" * 300}, "data.packaging_config.0.name"),
    ({"type": "AzureMLData", "config": {"version": True}}, "data.packaging_config.0.config.version"),
]


@pytest.mark.parametrize(("config", "field"), CONFIGS)
def test_a_bad_packaging_config_is_rejected_with_the_field_named(
    bad_events: Callable[[bytes], RejectedEvent], config: Any, field: str
) -> None:
    data = {"engine": {"name": "olive"}, "output_dir": "/out", "packaging_config": config}
    assert bad_events(envelope(data=data)).data.error.field == field


def node(model_id: str, parent: str | None = None, value: Any = None) -> dict[str, Any]:
    metrics = {} if value is None else {"m": {"value": value, "priority": 1, "higher_is_better": True}}
    return {"model_id": model_id, "parent_model_id": parent, "from_pass": "P", "metrics": metrics}


FOOTPRINTS: list[tuple[Any, str]] = [
    ({"accelerator": "cpu-quantum", "nodes": []}, "data.footprints.0.accelerator.execution_provider"),
    ({"accelerator": "toaster-cpu", "nodes": []}, "data.footprints.0.accelerator.device"),
    ({"accelerator": "cpu-cpu", "nodes": [node("a", "b"), node("b", "a")]}, "data.footprints.0.nodes"),
    ({"accelerator": "cpu-cpu", "nodes": [node("a", "nowhere")]}, "data.footprints.0.nodes"),
    ({"accelerator": "cpu-cpu", "nodes": [node("a", value="fast")]}, "data.footprints.0.nodes.0.metrics.m.value"),
    ({"accelerator": "cpu-cpu", "nodes": [node("a", value=True)]}, "data.footprints.0.nodes.0.metrics.m.value"),
    ({"accelerator": "cpu-cpu", "nodes": [node("a", value=[1])]}, "data.footprints.0.nodes.0.metrics.m.value"),
]


@pytest.mark.parametrize(("footprint", "field"), FOOTPRINTS)
def test_a_bad_footprint_is_rejected_with_the_field_named(
    bad_events: Callable[[bytes], RejectedEvent], footprint: Any, field: str
) -> None:
    data = {"engine": {"name": "olive"}, "output_dir": "/out", "footprints": [footprint]}
    assert bad_events(envelope(data=data)).data.error.field == field


def test_a_run_id_with_other_content_is_rejected_and_the_first_run_keeps_its_outcome(
    farm: Farm, make_run: RunMaker
) -> None:
    farm.start()
    first, second = make_run("same"), make_run("same", candidates=1)
    farm.publish(first)
    done = farm.wait_final(first)
    farm.publish(second)
    (answer,) = wait_for(lambda: rejected(farm), what="the answer")
    assert (answer.data.error.code, answer.data.event_id) == ("run_id_reused", second.id)
    assert farm.wait_final(first) == done


def test_a_rejected_run_may_be_sent_again_corrected_under_its_id(farm: Farm, make_run: RunMaker) -> None:
    farm.start()
    event = make_run("again")
    farm.publish(event.to_wire().replace(b'"Zipfile"', b'"Tarball"'))
    wait_for(lambda: rejected(farm), what="the rejection")
    farm.publish(event)
    wait_for(lambda: len(farm.finals()) == 2, what="the outcome")
    assert farm.wait_final(event).data.state == "succeeded"


def test_a_final_event_too_large_for_the_reader_of_events_is_answered_from_its_head(farm: Farm) -> None:
    farm.extra["PACKHOUSE_MAX_EVENT_BYTES"] = "4096"
    farm.start()
    sent = envelope(data={"engine": {"name": "x" * 9000}})
    farm.publish(sent)
    (answer,) = wait_for(lambda: rejected(farm), what="the answer")
    assert (answer.data.error.code, answer.subject) == ("event_too_large", "bad")


@pytest.fixture(scope="module")
def _standing(tmp_path_factory: pytest.TempPathFactory, redis_server: str) -> Any:
    from packhouse.worker.settings import Settings

    folder = tmp_path_factory.mktemp("border")
    farm = Farm(Settings(redis_url=redis_server, namespace=f"test-{uuid.uuid4().hex[:12]}", sweep_seconds=0.3), folder)
    farm.start()
    yield farm
    farm.close()


@pytest.fixture
def bad_events(_standing: Farm) -> Callable[[bytes], RejectedEvent]:
    """Publishes an event that has to be rejected and returns the answer."""

    def publish(raw: bytes) -> RejectedEvent:
        before = len(rejected(_standing))
        letters = _standing.redis.xlen(_standing.keys.dead_letters)
        _standing.publish(raw)
        answers = wait_for(lambda: rejected(_standing)[before:], seconds=20, what="the answer")
        assert _standing.redis.xlen(_standing.keys.dead_letters) == letters + 1
        return answers[0]

    return publish
