from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from packhouse.producers.cli.group import run
from packhouse.schemas import Package, RunFinished
from packhouse.schemas.keys import FIELD, Keys

SAMPLE = "olive-0.6.2-cpu-and-openvino"
Answer = Callable[[RunFinished], object]


@pytest.fixture(autouse=True)
def stack(monkeypatch: pytest.MonkeyPatch, redis_url: str, namespace: str) -> None:
    monkeypatch.setenv("PACKHOUSE_REDIS_URL", redis_url)
    monkeypatch.setenv("PACKHOUSE_NAMESPACE", namespace)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def packaging(tmp_path: Path) -> str:
    file = tmp_path / "packaging.json"
    file.write_text('{"type": "Zipfile", "name": "A"}')
    return str(file)


@pytest.fixture
def publish(data: Path, packaging: str) -> Callable[..., int]:
    def publish(*options: str) -> int:
        return run(["publish", str(data / SAMPLE / "output_dir"), "--packaging-config", packaging, *options])

    return publish


@pytest.fixture
def published(redis: Redis, namespace: str) -> Callable[[], list[RunFinished]]:
    def read() -> list[RunFinished]:
        entries: Any = redis.xrange(Keys(namespace).run_queue)
        return [RunFinished.model_validate_json(fields[FIELD.encode()]) for _, fields in entries]

    return read


@contextmanager
def answering(published: Callable[[], list[RunFinished]], *answers: Answer) -> Generator[None]:
    """A worker's part: each event of the run queue gets the next of the answers."""
    stop, started = threading.Event(), threading.Event()

    def work() -> None:
        done = len(published())
        started.set()
        left = list(answers)
        while left and not stop.is_set():
            for event in published()[done:]:
                done += 1
                left.pop(0)(event)
            stop.wait(0.01)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    started.wait(10)
    yield
    stop.set()
    thread.join(10)


@pytest.mark.parametrize(
    ("state", "status"), [("succeeded", 0), ("partly_succeeded", 3), ("failed", 1), ("nothing_to_package", 1)]
)
def test_waiting_ends_with_the_status_of_how_the_run_ended(
    publish, published, worker, capsys: pytest.CaptureFixture[str], state: str, status: int
) -> None:
    with answering(published, lambda event: worker.complete(event, state)):
        assert publish("--wait", "--timeout", "30") == status
    assert state.replace("_", " ") in capsys.readouterr().out


def test_json_puts_the_final_event_alone_on_standard_output(
    publish, published, worker, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(event: RunFinished) -> None:
        worker.started(event)
        worker.complete(event)

    with answering(published, answer):
        assert publish("--wait", "--json", "--timeout", "30") == 0
    (event,) = published()
    final = json.loads(capsys.readouterr().out)
    assert (final["type"], final["subject"]) == ("packhouse.packaging.completed", event.subject)
    assert final["data"]["content_digest"] == event.content_digest


def test_nobody_packages_it_in_time(publish, capsys: pytest.CaptureFixture[str]) -> None:
    assert publish("--wait", "--timeout", "0.2") == 4
    assert "error [timed_out]" in capsys.readouterr().err


def test_a_rejection_is_shown_with_its_fix(publish, published, worker, capsys: pytest.CaptureFixture[str]) -> None:
    with answering(published, worker.refuse):
        assert publish("--wait", "--timeout", "30", "--run-id", "mine") == 1
    out = capsys.readouterr().out
    assert "error [run_id_reused]: The id is taken." in out
    assert "fix: Take another." in out


def test_the_same_output_is_the_same_run_and_its_earlier_outcome_is_said_to_be_that(
    publish, published, worker, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(published, worker.complete):
        assert publish("--wait", "--timeout", "30") == 0
    assert "published before" not in capsys.readouterr().err
    assert publish("--wait", "--timeout", "30") == 0
    assert "published before" in capsys.readouterr().err
    first, second = published()
    assert first.run == second.run
    assert first.subject == f"run-{first.content_digest[7:19]}"


def test_again_is_a_new_run_of_the_same_content(publish, published) -> None:
    assert publish() == publish("--again") == publish("--again", "--run-id", "mine") == 0
    first, again, mine = published()
    assert first.content_digest == again.content_digest == mine.content_digest
    assert again.subject.startswith(f"{first.subject}-")
    assert mine.subject.startswith("mine-")


def test_every_option_finds_its_way_into_the_event(publish, published, data: Path, tmp_path: Path) -> None:
    staged = tmp_path / "staged"
    options = ["--map", f"/srv/olive={data / SAMPLE}", "--runtime", "onnxruntime==1.18.1", "--top", "1"]
    assert publish(*options, "--stage-to", str(staged), "--run-id", "r1", "--source", "farm-7") == 0
    (event,) = published()
    assert (event.source, event.subject) == ("farm-7", "r1")
    assert event.data.paths == "worker"
    assert event.data.top == 1
    assert event.data.engine.runtime_packages == [Package(name="onnxruntime", version="1.18.1")]
    (best,) = (node for node in event.data.footprints[0].nodes if node.is_output)
    assert best.model
    assert best.model.model_path
    assert Path(best.model.model_path).is_relative_to(staged)
    assert Path(best.model.model_path).is_file()


def test_runtimes_are_detected_only_if_that_is_asked_for(publish, published) -> None:
    assert publish() == publish("--detect-runtimes") == 0
    without, detected = published()
    assert without.data.engine.runtime_packages == []
    assert "onnxruntime" in {each.name for each in detected.data.engine.runtime_packages}


def test_without_waiting_it_says_how_to_see_what_becomes_of_it(publish, capsys: pytest.CaptureFixture[str]) -> None:
    assert publish("--run-id", "mine") == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("published run mine")
    assert "packhouse status mine" in captured.err


def test_the_receipt_as_json(publish, published, capsys: pytest.CaptureFixture[str]) -> None:
    assert publish("--json") == 0
    (event,) = published()
    receipt = json.loads(capsys.readouterr().out)
    assert receipt["run"] == {"id": event.subject, "source": event.source}
    assert receipt["durable"] is True


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (["--redis-url", "redis://127.0.0.1:1/0"], 5),
        (["--data-dir", "no-such-folder"], 5),
        (["--run-id", "x" * 300], 2),
        (["--accelerator", "gpu-cuda"], 2),
        (["--output-name", "other"], 2),
    ],
)
def test_what_is_wrong_is_said_in_two_lines(
    publish, capsys: pytest.CaptureFixture[str], options: list[str], status: int
) -> None:
    assert publish(*options) == status
    err = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0].partition(" ")[0] for line in err] == ["error", "fix"]


def test_a_run_has_a_status_while_it_is_made_and_when_it_has_ended(
    publish, published, worker, capsys: pytest.CaptureFixture[str]
) -> None:
    publish("--run-id", "mine")
    (event,) = published()
    assert run(["status", "mine"]) == 1
    assert "error [run_unknown]: there is no run mine" in capsys.readouterr().err
    worker.started(event)
    assert run(["status", "mine"]) == 0
    assert "packaging" in capsys.readouterr().out
    worker.complete(event, "partly_succeeded")
    assert run(["status", "mine"]) == 3
    capsys.readouterr()
    assert run(["status", "mine", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["data"]["state"] == "partly_succeeded"


def test_following_a_run_ends_with_it(publish, published, worker, capsys: pytest.CaptureFixture[str]) -> None:
    publish("--run-id", "mine")
    (event,) = published()
    worker.started(event)
    timer = threading.Timer(0.2, lambda: worker.complete(event))
    timer.start()
    assert run(["status", "mine", "--follow"]) == 0
    timer.join()
    out = capsys.readouterr().out
    assert "started: Zipfile A on w1" in out
    assert "succeeded" in out


def test_the_overview_has_the_latest_state_of_every_run(worker, make_event, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status"]) == 0
    assert "no run yet" in capsys.readouterr().out
    done, refused = make_event("done"), make_event("done", top=2)
    worker.complete(done)
    worker.refuse(refused)
    worker.started(make_event("working"))
    assert run(["status"]) == 0
    lines = {line.split("│")[1].strip(): line for line in capsys.readouterr().out.splitlines() if "│" in line}
    assert "succeeded" in lines["done"]
    assert "packaging, 0 of ? packages done" in lines["working"]


def test_a_run_id_that_several_have_needs_the_source(worker, make_event, capsys: pytest.CaptureFixture[str]) -> None:
    event = make_event("both")
    worker.complete(event)
    worker.complete(event.model_copy(update={"source": "other-farm"}), "failed")
    assert run(["status", "both"]) == 2
    assert "--source" in capsys.readouterr().err
    assert run(["status", "both", "--source", "other-farm"]) == 1
