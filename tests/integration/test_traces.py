"""One run, followed through real worker processes in its logs and in one trace."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support.farm import Farm, RunMaker, wait_for

from packhouse.producers import publish
from packhouse.schemas import STATUS_EVENT, RunFinished

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def traces(farm: Farm, tmp_path: Path) -> Path:
    file = tmp_path / "traces.jsonl"
    farm.extra |= {"PACKHOUSE_TRACES": str(file), "PACKHOUSE_LOG_FORMAT": "json"}
    return file


def spans(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []


def sent(farm: Farm, event: RunFinished) -> None:
    publish(event, farm.settings.redis_url, namespace=farm.settings.namespace)


def below(one: dict[str, Any], all_of_them: list[dict[str, Any]]) -> list[str]:
    """The names from the outermost ancestor down to a span."""
    by_id = {each["context"]["span_id"]: each for each in all_of_them}
    names = [one["name"]]
    while one := by_id.get(one["parent_id"], {}):
        names.insert(0, one["name"])
    return names


def test_a_run_is_one_trace_from_publish_to_the_final_status(
    farm: Farm, make_run: RunMaker, traces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    farm.start(2)
    packages = [
        {"type": "Zipfile", "name": "p"},
        {"type": "Zipfile", "name": "q"},
        {"type": "AzureMLData", "name": "r"},
    ]
    event = make_run(packages=packages)
    sent(farm, event)
    assert farm.wait_final(event).data.state == "partly_succeeded"
    wait_for(lambda: sum(one["name"] == "package" for one in spans(traces)) == 3, what="the last spans")
    (published,) = exporter.get_finished_spans()
    assert published.name == "publish"
    told = spans(traces)
    wanted = f"0x{published.context.trace_id:032x}"  # pyright: ignore[reportOptionalMemberAccess]
    assert {one["context"]["trace_id"] for one in told} == {wanted}
    names = Counter(one["name"] for one in told)
    assert names["intake"] == names["rank"] == 1
    assert names["package"] == 3
    (intake,) = (one for one in told if one["name"] == "intake")
    assert intake["parent_id"] == f"0x{published.context.span_id:016x}"  # pyright: ignore[reportOptionalMemberAccess]
    lines = {tuple(below(one, told)) for one in told}
    assert {("intake", "rank", "ranking"), ("intake", "package", "writing"), ("intake", "package", "planning")} <= lines
    failed = [one for one in told if one["status"]["status_code"] == "ERROR"]
    assert [(one["attributes"]["packhouse.type"], one["status"]["description"]) for one in failed] == [
        ("AzureMLData", "workspace_unknown")
    ]
    for text in farm.stream(farm.keys.status):
        status = STATUS_EVENT.validate_json(text)
        extra = status.__pydantic_extra__ or {}
        assert str(extra["traceparent"]).split("-")[1] == wanted.removeprefix("0x"), (
            "every status goes on with the trace"
        )


def test_an_attempt_after_a_crash_is_a_span_beside_the_first_of_which_nothing_is_left(
    farm: Farm, make_run: RunMaker, traces: Path
) -> None:
    farm.hold("zip.poured")
    farm.start()
    event = make_run().model_copy(update={"traceparent": PARENT})
    sent(farm, event)
    victim = farm.wait_reached("zip.poured")
    subprocess.run(["kill", "-9", str(victim)], check=True)
    farm.let_go("zip.poured")
    assert farm.wait_final(event).data.state == "succeeded"
    told = wait_for(lambda: [one for one in spans(traces) if one["name"] == "package"], what="the span of the package")
    assert [one["attributes"]["packhouse.attempt"] for one in told] == [2]
    assert {one["context"]["trace_id"] for one in spans(traces)} == {f"0x{PARENT.split('-')[1]}"}


def test_logs_say_which_run_job_and_trace_they_are_about(farm: Farm, make_run: RunMaker, traces: Path) -> None:
    (worker,) = farm.start()
    event = make_run().model_copy(update={"traceparent": PARENT})
    sent(farm, event)
    farm.wait_final(event)
    wait_for(lambda: "succeeded in" in worker.log.read_text("utf-8"), what="Celery's last line")
    lines = [json.loads(line) for line in worker.log.read_text("utf-8").splitlines() if line.startswith("{")]
    assert all(line["worker"] == worker.name for line in lines)
    (taken,) = (line for line in lines if line["message"].endswith("is in the ledger"))
    assert (taken["run"], taken["source"]) == (event.subject, event.source)
    assert taken["trace_id"] == PARENT.split("-")[1]


@pytest.mark.parametrize("parent", ["", "00-zz-b7-01", "00-" + "0" * 32 + "-b7ad6b7169203331-01", 7, {"a": 1}])
def test_a_traceparent_that_is_none_is_left_out(farm: Farm, make_run: RunMaker, parent: Any) -> None:
    farm.start()
    event = make_run(packages=[])
    farm.publish(json.dumps({**json.loads(event.to_wire()), "traceparent": parent}).encode())
    assert farm.wait_final(event).data.state == "succeeded"
    assert not any("traceparent" in text for text in farm.stream(farm.keys.status))


def test_a_worker_without_opentelemetry_says_so_and_ends_with_status_5(farm: Farm, traces: Path) -> None:
    program = (
        "import sys; sys.modules['opentelemetry.sdk'] = None\n"
        "from celery.bin.celery import main; sys.argv = ['celery', '-A', 'packhouse.worker.app', 'worker']; main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], env=farm.environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 5, ended.stderr
    assert 'Install packhouse with the extra "tracing"' in ended.stderr
    assert "Traceback" not in ended.stderr


def test_where_traces_are_off_nothing_is_loaded_that_makes_or_sends_them() -> None:
    # redis-py loads a part of OpenTelemetry by itself where that is installed.
    program = (
        "import sys; import redis; before = set(sys.modules)\n"
        "import packhouse.worker.tasks; from packhouse.worker.tracing import tracer; tracer(None)\n"
        "import packhouse.producers\n"
        "loaded = [name for name in set(sys.modules) - before if name.startswith('opentelemetry')]\n"
        "assert not any('exporter' in name or 'sdk.trace' in name for name in loaded), loaded"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
