"""The lines that an Olive user adds, on what Olive left, with a real worker."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import free_port
from redis import Redis
from support.farm import Farm

from packhouse.producers.olive import publish_output
from packhouse.producers.runtimes import detect
from packhouse.schemas import CompletedEvent, ErrorCode, Keys, PermanentError, RunFinished, TransientError

OLD, NEW = "olive-0.6.2-cpu-and-openvino", "olive-0.13.0-search"
KEY = "eu-1:" + "5e" * 32
ZIP: dict[str, Any] = {"type": "Zipfile", "name": "digits"}


@pytest.fixture(autouse=True)
def stack(monkeypatch: pytest.MonkeyPatch, redis_url: str, namespace: str) -> None:
    monkeypatch.setenv("PACKHOUSE_REDIS_URL", redis_url)
    monkeypatch.setenv("PACKHOUSE_NAMESPACE", namespace)


@pytest.fixture
def arrived(redis: Redis, namespace: str) -> Any:
    def read() -> RunFinished:
        entries: Any = redis.xrange(Keys(namespace).run_queue)
        ((_, fields),) = entries
        return RunFinished.model_validate_json(fields[b"event"])

    return read


def test_what_olive_left_becomes_a_package_signed_with_the_key_of_the_environment(
    farm: Farm, tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "olive"
    shutil.copytree(data / OLD, run)
    farm.extra = {"PACKHOUSE_PATH_MAPS": f"/srv/olive={run}", "PACKHOUSE_EVENT_KEYS": KEY}
    farm.start()
    monkeypatch.setenv("PACKHOUSE_SIGNING_KEY", KEY)
    published = publish_output(run / "output_dir", ZIP)
    final = published.wait(timeout=60)
    assert isinstance(final, CompletedEvent), final
    assert (final.data.state, len(final.data.candidates)) == ("succeeded", 3)
    assert (run / "output_dir" / "digits.zip").is_file()
    assert publish_output(run / "output_dir", ZIP).wait(timeout=60) == final, "twice the same is one run"


def test_what_olive_returned_is_published_with_the_runtimes_of_this_environment(data: Path, arrived) -> None:
    folder = data / NEW / "output_dir"
    raw = json.loads((folder / "footprint.json").read_text())
    frontier = [name for name, node in raw.items() if node["is_pareto_frontier"]]
    output = SimpleNamespace(
        accelerator_spec=SimpleNamespace(accelerator_type="cpu", execution_provider="CPUExecutionProvider"),
        footprint=SimpleNamespace(to_json=lambda: json.dumps(raw), output_model_ids=frontier),
        output_models=[],
    )
    published = publish_output(folder, [ZIP], output=output, top=2, run_id="r1", source="farm-7")
    event = arrived()
    assert event == published.event
    assert (event.source, event.subject, event.data.top) == ("farm-7", "r1", 2)
    assert sum(bool(node.is_output) for node in event.data.footprints[0].nodes) == len(frontier)
    assert event.data.engine.runtime_packages == detect() != []
    assert published.receipt.durable


def test_olives_own_configuration_says_what_to_package_and_models_are_staged(
    tmp_path: Path, data: Path, arrived
) -> None:
    run = tmp_path / "olive"
    shutil.copytree(data / NEW, run)
    for file in (run / "output_dir").glob("*.json"):
        file.write_text(file.read_text().replace("/srv/olive", str(run)))
    publish_output(run / "output_dir", run / "config.json", stage_to=tmp_path / "kept")
    event = arrived()
    assert [config.name for config in event.data.packaging_config] == ["DigitsPackage"]
    staged = [node.model.model_path for node in event.data.footprints[0].nodes if node.is_output and node.model]
    assert len(staged) == 5
    assert all(Path(path or "").is_file() and Path(path or "").is_relative_to(tmp_path / "kept") for path in staged)


def test_what_cannot_be_published_is_told_with_a_code(data: Path, tmp_path: Path) -> None:
    folder = data / OLD / "output_dir"
    with pytest.raises(PermanentError) as wrong:
        publish_output(folder, {"type": "Dockerfile", "name": "x"})
    assert wrong.value.code is ErrorCode.PACKAGING_CONFIG_INVALID
    with pytest.raises(PermanentError) as empty:
        publish_output(tmp_path, ZIP)
    assert empty.value.code is ErrorCode.OUTPUT_NOT_FOUND
    with pytest.raises(TransientError) as away:
        publish_output(folder, ZIP, redis_url=f"redis://127.0.0.1:{free_port()}/0")
    assert away.value.code is ErrorCode.CONNECTION_FAILED
    with pytest.raises(TransientError) as late:
        publish_output(folder, ZIP).wait(timeout=0.1)
    assert late.value.code is ErrorCode.TIMED_OUT
