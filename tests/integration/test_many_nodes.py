"""However many nodes a run has, what a status says of them stays small, and says how many there are."""

from __future__ import annotations

import io
import json
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from rich.console import Console
from support.farm import Farm, RunMaker, quick

from packhouse.producers.cli.progress import line_of
from packhouse.producers.cli.render import show_final
from packhouse.schemas import STATUS_EVENT, CompletedEvent, RunFinished
from packhouse.schemas.keys import FIELD, Keys
from packhouse.schemas.status import AcceptedEvent

NODES = 6000
NAMED = 100
LARGEST = 600 * 1024
"""Bytes of an event: 256 KiB each for those ranked and those left out, and the rest."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("storage")


@pytest.fixture(scope="module")
def standing(base: Path, redis_server: str) -> Iterator[Farm]:
    farm = Farm(quick(redis_server, f"test-{uuid.uuid4().hex[:12]}", base), base)
    farm.start()
    yield farm
    farm.close()


@pytest.fixture
def make_run(base: Path, data: Path) -> RunMaker:
    return RunMaker(base / uuid.uuid4().hex[:8], data)


def node(number: int, name: str = "", *, output: bool = True, metrics: int = 1) -> dict[str, Any]:
    return {
        "model_id": f"n{number:04}{name}",
        "parent_model_id": "input",
        "from_pass": "Quantization",
        "model": {"type": "ONNXModel", "config": {"model_path": f"/none/{number}.onnx"}},
        "metrics": {
            f"accuracy-{metric}{name}": {"value": number, "priority": 1 + metric, "higher_is_better": True}
            for metric in range(metrics)
        },
        "is_output": output,
    }


def texts_of(farm: Farm, event: RunFinished) -> tuple[AcceptedEvent, CompletedEvent, list[int]]:
    """The accepted and the final event of a run, and how many bytes they have."""
    farm.publish(event)
    farm.wait_final(event)
    with Redis.from_url(farm.settings.redis_url) as redis:
        entries: Any = redis.xrange(Keys(farm.settings.namespace).status)
    texts = [fields[FIELD.encode()] for _, fields in entries]
    of_run = [
        (STATUS_EVENT.validate_json(text), text) for text in texts if json.loads(text)["subject"] == event.subject
    ]
    (accepted,) = (event for event, _ in of_run if isinstance(event, AcceptedEvent))
    (final,) = (event for event, _ in of_run if isinstance(event, CompletedEvent))
    return accepted, final, [len(text) for _, text in of_run]


def shown(final: CompletedEvent) -> str:
    out = io.StringIO()
    show_final(Console(file=out, width=200), final)
    return out.getvalue()


def test_of_very_many_candidates_the_best_are_named_and_all_are_counted(standing: Farm, make_run: RunMaker) -> None:
    nodes = [{"model_id": "input"}, *map(node, range(NODES))]
    run = make_run(uuid.uuid4().hex, packages=[], footprints=[{"accelerator": "cpu-cpu", "nodes": nodes}])
    accepted, final, sizes = texts_of(standing, run)
    assert max(sizes) < LARGEST
    assert [each.model_id for each in final.data.candidates] == [f"n{NODES - 1 - at:04}" for at in range(NAMED)]
    assert final.data.candidates[-1].reason.startswith("Behind the one before: lower accuracy-0")
    assert final.data.counts == accepted.data.ranking.counts
    assert final.data.counted().candidates == NODES
    assert line_of(accepted) == f"accepted: {NODES} candidates, 1 left out, 0 packages to make"
    assert f"… and {NODES - NAMED} more candidates" in shown(final)


def test_the_names_of_engines_do_not_make_a_status_large(standing: Farm, make_run: RunMaker) -> None:
    long = "x" * 900
    nodes = [{"model_id": "input"}, *(node(at, long, metrics=20, output=at % 2 == 0) for at in range(500))]
    run = make_run(uuid.uuid4().hex, packages=[], footprints=[{"accelerator": "cpu-cpu", "nodes": nodes}])
    _, final, sizes = texts_of(standing, run)
    assert max(sizes) < LARGEST
    assert 0 < len(final.data.candidates) < NAMED
    assert (final.data.counted().candidates, final.data.counted().left_out_in_all) == (250, 251)


def test_of_very_many_left_out_all_are_counted_by_reason_and_the_package_names_them(
    standing: Farm, make_run: RunMaker, tmp_path: Path
) -> None:
    made = make_run(candidates=1).data.footprints[0].nodes
    nodes = [each.model_dump() for each in made] + [node(at, output=False) for at in range(NODES)]
    run = make_run(uuid.uuid4().hex, footprints=[{"accelerator": "cpu-cpu", "nodes": nodes}])
    _, final, sizes = texts_of(standing, run)
    assert max(sizes) < LARGEST
    assert (final.data.state, len(final.data.candidates), len(final.data.left_out)) == ("succeeded", 1, NAMED)
    assert f"{NODES + 1} left out: 1 input model (cpu-cpu), {NODES} not marked (cpu-cpu)" in shown(final)
    with zipfile.ZipFile(str(final.data.packages[0].path)) as package:
        manifest = json.loads(package.read("manifest.json"))
    assert len(manifest["left_out"]) == NODES + 1


def test_where_nothing_is_packaged_the_first_reasons_are_shown_and_the_rest_counted(
    standing: Farm, make_run: RunMaker
) -> None:
    nodes = [{"model_id": "input"}, *({**node(at, output=False), "model": None} for at in range(NODES))]
    run = make_run(uuid.uuid4().hex, footprints=[{"accelerator": "cpu-cpu", "nodes": nodes}])
    _, final, sizes = texts_of(standing, run)
    assert max(sizes) < LARGEST
    assert final.data.state == "nothing_to_package"
    text = shown(final)
    assert "left out: n0098 (cpu-cpu) has no model." in text
    assert f"… and {NODES + 1 - NAMED} more left out" in text
