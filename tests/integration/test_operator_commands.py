"""What an operator does with runs and dead letters, by the commands, while real workers work."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import psutil
import pytest
from support.commands import Command
from support.farm import Farm, RunMaker, wait_for

from packhouse.producers import StatusFeed
from packhouse.schemas import RunFinished
from packhouse.schemas.standing import RunStanding
from packhouse.schemas.status import CompletedEvent


def folder_of(event: RunFinished) -> list[str]:
    folder = Path(event.data.output_dir)
    return sorted(file.name for file in folder.iterdir()) if folder.exists() else []


def waits(farm: Farm, queue: str = "package.zipfile") -> int:
    return int(farm.redis.zcard(f"{farm.keys.prefix}waiting:{queue}"))


def test_a_cancelled_package_stops_where_it_is_and_leaves_nothing_and_a_retry_makes_it(
    farm: Farm, make_run: RunMaker, command: Command
) -> None:
    farm.start()
    farm.hold("zip.poured")
    event = make_run(packages=[{"type": "Zipfile", "name": name} for name in ("first", "second")])
    farm.publish(event)
    pid = farm.wait_reached("zip.poured")
    wait_for(lambda: waits(farm) == 1, what="the second package to wait")
    status, out, err = command("status", event.subject)
    assert (status, err) == (0, "")
    assert "  Zipfile first: at work for" in out
    assert "on w1@test" in out
    assert "  Zipfile second: waiting for" in out
    assert "number 1 of 1 in the queue package.zipfile, served by 1 worker" in out
    told = RunStanding.model_validate_json(command("status", event.subject, "--json")[1])
    assert [(str(job.state), job.stalled) for job in told.jobs] == [("leased", None), ("waiting", None)]
    assert "STALLED, it has not moved" in wait_for(
        lambda: out if "STALLED" in (out := command("status", event.subject, "--stalled-after", "1")[1]) else "",
        what="the held package to look stalled",
    )
    assert command("cancel", event.subject) == (0, "run run-1 is cancelled: 2 jobs ended\n", "")
    final = farm.wait_final(event)
    assert [str(package.error and package.error.code) for package in final.data.packages] == ["cancelled"] * 2
    farm.let_go("zip.poured")
    wait_for(lambda: "lease was lost" in farm.logs(), what="the work to stop")
    assert folder_of(event) == []
    assert psutil.pid_exists(pid), "the process itself goes on to other work"
    assert command("cancel", event.subject)[:2] == (0, "run run-1 is over already: nothing to cancel\n")
    assert command("status", event.subject)[0] == 1

    status, out, _ = command("retry", event.subject, "--package", "second")
    assert (status, out.splitlines()[0]) == (0, "run run-1 is open again, round 2: Zipfile second")
    with StatusFeed(farm.settings.redis_url, farm.settings.namespace) as feed:
        again = feed.wait(event.run, timeout=60)
        assert isinstance(again, CompletedEvent)
        assert (again.data.round, again.data.state) == (2, "partly_succeeded")
        assert [each.data.round for each in farm.finals() if isinstance(each, CompletedEvent)] == [1, 2]
        assert "second.zip" in folder_of(event)
        command("retry", event.subject)
        last = feed.wait(event.run, timeout=60)
        assert isinstance(last, CompletedEvent)
        assert (last.data.round, last.data.state) == (3, "succeeded")
    assert {"first.zip", "second.zip"} <= set(folder_of(event))
    status, _, err = command("retry", event.subject)
    assert (status, "[nothing_to_retry]" in err) == (1, True)


@pytest.mark.full
def test_a_package_that_is_being_published_is_finished_though_its_run_is_cancelled(
    farm: Farm, make_run: RunMaker, command: Command
) -> None:
    farm.start()
    farm.hold("zip.renamed")
    event = make_run()
    farm.publish(event)
    farm.wait_reached("zip.renamed")
    assert command("cancel", event.subject)[1] == (
        "run run-1 is cancelled: 0 jobs ended; 1 being published at this moment\n"
    )
    farm.let_go("zip.renamed")
    assert farm.wait_final(event).data.state == "succeeded"
    assert "OutputModels.zip" in folder_of(event)


def test_a_package_that_failed_for_a_missing_model_is_made_once_the_model_is_there(
    farm: Farm, make_run: RunMaker, command: Command
) -> None:
    farm.start()
    event = make_run()
    model = next((farm.folder.parent / "models").rglob("model.onnx"))
    content = model.read_bytes()
    model.unlink()
    farm.publish(event)
    failed = farm.wait_final(event)
    assert failed.data.packages[0].error
    assert failed.data.packages[0].error.code == "model_missing"
    model.write_bytes(content)
    told = command("status", event.subject)[1].splitlines()
    assert told[-1] == "packhouse retry run-1 makes what failed again, once the cause is mended"
    assert command("retry", event.subject)[0] == 0
    made = wait_for(lambda: [one for one in farm.finals() if one.id.endswith("/final/2")], what="the second round")[0]
    assert isinstance(made, CompletedEvent)
    assert (made.data.state, made.data.packages[0].attempts) == ("succeeded", 2)
    assert "packhouse retry" not in command("status", event.subject)[1]


def test_runs_that_nobody_knows_are_said_so(farm: Farm, make_run: RunMaker, command: Command) -> None:
    for name in ("cancel", "retry"):
        status, _, err = command(name, "nowhere")
        assert (status, "[run_unknown]" in err, "fix: " in err) == (1, True, True)
        assert command(name, "nowhere", "--source", "/nobody")[0] == 1


def lettered(farm: Farm, raw: bytes, count: int) -> None:
    farm.publish(raw)
    wait_for(lambda: farm.redis.xlen(farm.keys.dead_letters) == count, what="the dead letter")


def ids(command: Command) -> list[str]:
    return [json.loads(line)["id"] for line in command("dead-letters", "--json")[1].splitlines()]


def test_dead_letters_are_listed_shown_dropped_and_replayed(farm: Farm, make_run: RunMaker, command: Command) -> None:
    farm.start()
    assert command("dead-letters") == (0, "no dead letters\n", "")
    event = json.loads(make_run("named").to_wire())
    wrong = json.dumps(event | {"data": event["data"] | {"top": 0}}).encode()
    lettered(farm, wrong, 1)
    lettered(farm, b"\x1b]0;owned\x07\xff\x00 not JSON", 2)
    status, out, _ = command("dead-letters")
    assert (status, len(out.splitlines())) == (0, 2)
    assert "run named of /test/engine" in out
    assert "\x1b" not in out
    hostile, rejected = ids(command)
    status, out, _ = command("dead-letters", "show", hostile)
    assert (status, "[U+001B]]0;owned" in out, "\x1b" in out) == (0, True, False)
    assert command("dead-letters", "drop", hostile) == (0, "1 dropped\n", "")
    assert command("dead-letters", "drop", hostile)[0] == 1
    assert command("dead-letters", "show", hostile)[0] == 1
    assert command("dead-letters", "drop", "nonsense")[0] == 2
    assert command("dead-letters", "drop")[0] == 2

    # Sent once more as it is, it is rejected once more, and not taken for a duplicate of itself.
    assert command("dead-letters", "replay", rejected)[0] == 0
    wait_for(lambda: farm.redis.xlen(farm.keys.dead_letters) == 1 and ids(command) != [rejected], what="its return")
    assert command("dead-letters", "drop", "--all")[:2] == (0, "1 dropped\n")
    assert farm.redis.get(f"{farm.keys.prefix}dead-letters:bytes") is None


@pytest.mark.full
def test_what_is_understood_now_is_packaged_when_it_is_replayed(
    farm: Farm, make_run: RunMaker, command: Command
) -> None:
    event = make_run("large")
    farm.extra["PACKHOUSE_MAX_EVENT_BYTES"] = "1024"
    (strict,) = farm.start()
    lettered(farm, event.to_wire(), 1)
    strict.stop()
    farm.extra.clear()
    farm.start()
    assert "large" in command("dead-letters")[1]
    assert command("dead-letters", "replay", "--all")[0] == 0
    assert farm.wait_final(event).data.state == "succeeded"
    assert command("dead-letters", "replay", "--all")[1] == "no dead letter is whole: nothing to replay\n"


@pytest.mark.full
def test_a_truncated_dead_letter_is_not_replayed(farm: Farm, make_run: RunMaker, command: Command) -> None:
    farm.extra["PACKHOUSE_DEAD_LETTER_BYTES"] = "1024"
    farm.start()
    lettered(farm, b"x" * 5000, 1)
    (letter,) = ids(command)
    assert "5000 bytes, of which 1024 are kept" in command("dead-letters", "show", letter)[1]
    status, _, err = command("dead-letters", "replay", letter)
    assert (status, "[dead_letter_truncated]" in err) == (1, True)
    assert ids(command) == [letter]


@pytest.mark.full
def test_where_events_are_signed_a_replay_needs_somebody_to_vouch(
    farm: Farm, make_run: RunMaker, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    farm.extra["PACKHOUSE_EVENT_KEYS"] = f"k1:{'ab' * 32}"
    monkeypatch.setenv("PACKHOUSE_EVENT_KEYS", farm.extra["PACKHOUSE_EVENT_KEYS"])
    farm.start()
    event = make_run(f"run-{uuid.uuid4().hex}")
    lettered(farm, event.to_wire(), 1)
    (letter,) = ids(command)
    assert command("dead-letters", "replay", letter)[0] == 1
    assert command("dead-letters", "replay", letter, "--sign")[0] == 0
    assert farm.wait_final(event).data.state == "succeeded"
