"""Whatever grows in the server is filled until its bound is seen."""

from __future__ import annotations

import re
from typing import cast

import pytest
from support.farm import Farm, RunMaker, wait_for
from support.ledger import ME, RUN, WHY, lease, planned

from packhouse.schemas import run_key
from packhouse.worker.intake.reader import GROUP
from packhouse.worker.ledger import Answer, DeadLetter, Ledger, notebook
from packhouse.worker.ledger.notebook import Collector, Notebook
from packhouse.worker.packagers.registry import QUEUES
from packhouse.worker.settings import Settings

_STAYING = {
    "counts",
    "dead-letters",
    "dead-letters:bytes",
    "reached",
    "runs",
    "sequence",
    "status",
    "version",
}
"""Keys of the ledger that the guide to runs says stay, and the streams."""


def bury(ledger: Ledger, head: bytes = b"x", answer: Answer | None = None) -> None:
    """Let a reader find something in the run queue that is no event."""
    stream = ledger.keys.run_queue
    if not ledger.redis.exists(stream):
        ledger.redis.xgroup_create(stream, GROUP, id="0", mkstream=True)
    entry = str(ledger.redis.xadd(stream, {"event": head}))
    ledger.redis.xreadgroup(GROUP, "reader", {stream: ">"})
    ledger.bury(DeadLetter(entry, WHY, len(head), "sha256:0", head), GROUP, answer)


def short(ledger: Ledger) -> Settings:
    return Settings(redis_url="redis://unused", namespace=ledger.keys.prefix.strip("{}:"), lease_seconds=0.5)


def with_settings(ledger: Ledger, **settings: int) -> Ledger:
    return Ledger(ledger.redis, short(ledger).model_copy(update=settings))


@pytest.fixture
def notes(ledger: Ledger) -> Notebook:
    planned(ledger, 1)
    return Notebook(ledger, short(ledger), lease(ledger, "0", "t"))


def test_status_events_are_bounded_by_number(ledger: Ledger) -> None:
    small = with_settings(ledger, status_length=100)
    for number in range(400):
        bury(small, answer=Answer(f"{number}/rejected", RUN, "{}"))
    assert 100 <= int(ledger.redis.xlen(ledger.keys.status)) <= 250, "the server trims whole nodes of a hundred"


def test_dead_letters_are_bounded_by_number(ledger: Ledger) -> None:
    small = with_settings(ledger, dead_letter_length=10)
    for number in range(30):
        bury(small, str(number).encode())
    kept = cast("list[tuple[str, dict[str, str]]]", ledger.redis.xrange(ledger.keys.dead_letters))
    assert [fields["event"] for _, fields in kept] == [str(number) for number in range(20, 30)]


def test_dead_letters_are_bounded_by_their_bytes_in_all(ledger: Ledger) -> None:
    small = with_settings(ledger, dead_letter_total_bytes=10_000)
    for _ in range(30):
        bury(small, bytes(1000))
    assert 0 < int(ledger.redis.xlen(ledger.keys.dead_letters)) <= 10
    assert int(str(ledger.redis.get(f"{ledger.keys.prefix}dead-letters:bytes"))) <= 10_000


def test_a_storage_account_has_so_many_known_places_of_which_the_oldest_go(
    ledger: Ledger, notes: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notebook, "MOST_WEIGHTS", 5)
    for number in range(20):
        notes.keep_weight("account", f"sha{number}", "container/path")
        _let_a_millisecond_pass(ledger)
    known = [number for number in range(20) if notes.weight("account", f"sha{number}")]
    assert known == [15, 16, 17, 18, 19]
    assert ledger.redis.zcard(f"{ledger.keys.prefix}weights-at:account") == len(known)
    Collector(ledger).forget_weight("account", "sha19", "container/path")
    assert ledger.redis.zcard(f"{ledger.keys.prefix}weights-at:account") == len(known) - 1


def test_a_place_that_was_not_used_for_the_time_of_retention_is_forgotten_while_others_come(
    ledger: Ledger, notes: Notebook
) -> None:
    for sha256 in ("old", "young"):
        notes.keep_weight("account", sha256, "container/path")
    ledger.redis.zadd(f"{ledger.keys.prefix}weights-at:account", {"old": 1})
    notes.keep_weight("account", "new", "container/path")
    assert [notes.weight("account", one) is None for one in ("old", "young", "new")] == [True, False, False]


def test_places_that_an_earlier_release_wrote_down_are_kept_and_get_a_time(ledger: Ledger, notes: Notebook) -> None:
    ledger.redis.hset(f"{ledger.keys.prefix}weights:account", "before", "container/path")
    notes.keep_weight("account", "new", "container/path")
    assert notes.weight("account", "before")
    assert ledger.redis.zscore(f"{ledger.keys.prefix}weights-at:account", "before")


def test_readers_that_were_killed_are_forgotten_unless_they_have_entries_in_hand(ledger: Ledger) -> None:
    assert ledger.forget_readers(GROUP, 0) == 0, "there is no run queue yet"
    stream = ledger.keys.run_queue
    ledger.redis.xgroup_create(stream, GROUP, id="0", mkstream=True)
    ledger.redis.xadd(stream, {"event": "x"})
    for number in range(30):
        ledger.redis.xreadgroup(GROUP, f"reader{number}", {stream: ">"})
    assert ledger.forget_readers(GROUP, 3600) == 0, "they may live"
    assert ledger.forget_readers(GROUP, 0) == 29
    (left,) = cast("list[dict[str, object]]", ledger.redis.xinfo_consumers(stream, GROUP))
    assert (left["name"], left["pending"]) == ("reader0", 1)


def test_claims_and_signs_of_life_lapse(ledger: Ledger, notes: Notebook) -> None:
    assert notes.claim("work")
    ledger.round(ME, alive=5, sweep=1, queues=["ranking"])
    lapsing = [*ledger.redis.scan_iter(f"{ledger.keys.prefix}claim:*")]
    lapsing += [*ledger.redis.scan_iter(f"{ledger.keys.prefix}worker:*")]
    assert len(lapsing) == 2
    assert all(0 < int(ledger.redis.pttl(key)) <= 5000 for key in lapsing)


def test_once_runs_are_over_only_the_keys_of_the_guide_never_expire(farm: Farm, make_run: RunMaker) -> None:
    farm.start()
    good, bad = make_run("good"), make_run("bad", models=[7])
    model = make_run.model(7)
    content = model.read_bytes()
    model.unlink()
    farm.publish(b"no event")
    for event in (good, bad):
        farm.publish(event)
    assert farm.wait_final(good).data.state == "succeeded"
    assert farm.wait_final(bad).data.state == "failed"
    model.write_bytes(content)
    farm.ledger.reopen(run_key(bad.run))
    wait_for(lambda: [one.type for one in farm.finals()].count("packhouse.packaging.completed") == 3, what="the retry")
    farm.hold("zip.poured")
    late = make_run("late")
    farm.publish(late)
    farm.wait_reached("zip.poured")
    farm.ledger.cancel(run_key(late.run))
    farm.let_go("zip.poured")
    assert farm.wait_final(late).data.state == "failed"
    farm.workers[0].stop()
    wait_for(lambda: farm.redis.xlen(farm.keys.dead_letters) == 1, what="the dead letter")
    assert "Unforeseen error" not in farm.logs()

    staying = {str(key).removeprefix(farm.keys.prefix) for key in _without_expiry(farm)}
    own = {key for key in staying if not key.startswith("celery:")}
    of_queues = {key for key in own if key.partition(":")[0] in {"open", "missed"} and key.partition(":")[2] in QUEUES}
    assert own - of_queues - {"progress"} == _STAYING, "and progress events, where a package took long enough for one"
    for key in of_queues:
        if key.startswith("open:"):
            assert farm.redis.xlen(farm.keys.prefix + key) == 0, "no job is open"
        else:
            assert farm.redis.hlen(farm.keys.prefix + key) == 2
    runs = re.compile(r"[0-9a-f]{32}")
    counted = cast("list[str]", farm.redis.hkeys(f"{farm.keys.prefix}counts"))
    assert counted
    assert not [name for name in counted if runs.search(name)], "what is counted does not grow with the runs"


def _without_expiry(farm: Farm) -> list[str]:
    return [key for key in farm.redis.scan_iter(f"{farm.keys.prefix}*", count=1000) if farm.redis.ttl(key) == -1]


def _let_a_millisecond_pass(ledger: Ledger) -> None:
    before = _now(ledger)
    wait_for(lambda: _now(ledger) > before, what="another millisecond")


def _now(ledger: Ledger) -> int:
    seconds, micros = ledger.redis.time()
    return seconds * 1000 + micros // 1000
