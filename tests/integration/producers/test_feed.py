from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice

import pytest
from redis import Redis

from packhouse.producers import StatusFeed, publish
from packhouse.producers.streams import AnyStatus
from packhouse.schemas import CompletedEvent, ErrorCode, RejectedEvent, RunFinished, TransientError
from packhouse.schemas.keys import Keys

Make = Callable[..., RunFinished]
DEADLINE = 20.0


@pytest.fixture
def feed(redis_url: str, namespace: str) -> Iterator[StatusFeed]:
    with StatusFeed(redis_url, namespace) as feed:
        yield feed


def kinds(events: list[tuple[str, AnyStatus]]) -> list[str]:
    return [event.type.removeprefix("packhouse.") for _, event in events]


def soon(action: Callable[[], object], seconds: float = 0.3) -> threading.Timer:
    timer = threading.Timer(seconds, action)
    timer.start()
    return timer


def test_following_begins_with_the_call_and_not_with_the_first_event_taken(
    feed: StatusFeed, worker, make_event: Make
) -> None:
    worker.started(make_event("before"))
    following = feed.follow(timeout=DEADLINE)
    worker.complete(make_event("after"))
    assert next(following)[1].subject == "after"


def test_following_from_the_oldest_gives_everything_there_is(feed: StatusFeed, worker, make_event: Make) -> None:
    event = make_event()
    ids = [worker.started(event), worker.complete(event)]
    found = list(feed.follow(after="0", timeout=0.1))
    assert [entry for entry, _ in found] == ids
    assert kinds(found) == ["package.started", "packaging.completed"]


def test_a_follower_goes_on_after_the_entry_that_it_remembers(feed: StatusFeed, worker, make_event: Make) -> None:
    event = make_event()
    first = worker.started(event)
    second = worker.complete(event)
    assert [entry for entry, _ in feed.follow(after=first, timeout=0.1)] == [second]


def test_one_runs_events_are_picked_out(feed: StatusFeed, worker, make_event: Make) -> None:
    mine, other = make_event("mine"), make_event("other")
    worker.complete(other)
    worker.complete(mine)
    assert [event.subject for _, event in feed.follow(mine.run, after="0", timeout=0.1)] == ["mine"]


def test_a_second_copy_of_an_event_is_dropped(feed: StatusFeed, worker, make_event: Make) -> None:
    event = make_event()
    worker.complete(event)
    worker.complete(event)
    assert len(list(feed.follow(after="0", timeout=0.1))) == 1


def test_what_this_version_does_not_know_is_passed_over(feed: StatusFeed, worker, make_event: Make) -> None:
    worker.noise("no JSON")
    worker.noise('{"specversion":"2.0","type":"packhouse.package.polished"}')
    worker.redis.xadd(worker.keys.status, {"other": "field"})
    worker.complete(make_event())
    assert kinds(list(feed.follow(after="0", timeout=0.1))) == ["packaging.completed"]


def test_what_a_newer_worker_tells_besides_keeps_no_event_from_an_older_engine(
    feed: StatusFeed, worker, make_event: Make
) -> None:
    error = {"code": "reason_of_tomorrow", "message": "It rained.", "fix": "Wait.", "weather": "rain"}
    package = {"type": "Zipfile", "name": "A", "state": "failed", "error": error, "colour": "red"}
    now = "2024-06-01T12:00:00Z"
    timings = {"accepted_at": now, "completed_at": now, "seconds": 0.0, "paused": 1}
    event = make_event()
    names = {"specversion": "1.0", "id": "1/final", "source": event.source, "subject": event.subject, "later": "more"}
    data = {"content_digest": event.content_digest, "state": "failed", "packages": [package], "timings": timings}
    worker.noise(json.dumps({**names, "type": "packhouse.packaging.completed", "data": {**data, "cost": {"eur": 1}}}))
    final = feed.wait(event.run, DEADLINE)
    assert isinstance(final, CompletedEvent)
    told = final.data.packages[0].error
    assert told is not None
    assert (told.code, told.message) == ("reason_of_tomorrow", "It rained.")


def test_progress_comes_only_where_it_is_asked_for_and_in_the_order_of_time(
    feed: StatusFeed, worker, make_event: Make
) -> None:
    event = make_event()
    worker.started(event)
    time.sleep(0.002)
    worker.progress(event, 50)
    time.sleep(0.002)
    worker.complete(event)
    assert kinds(list(feed.follow(after="0", timeout=0.1))) == ["package.started", "packaging.completed"]
    with_progress = kinds(list(feed.follow(after="0", timeout=0.1, progress=True)))
    assert with_progress == ["package.started", "package.progress", "packaging.completed"]


def test_following_ends_when_it_is_told_to(feed: StatusFeed, worker, make_event: Make) -> None:
    stopped = threading.Event()
    following = feed.follow(after="0", stop=stopped.is_set)
    worker.complete(make_event())
    next(following)
    stopped.set()
    assert list(following) == []


def test_a_stream_that_was_trimmed_is_followed_with_what_is_left(feed: StatusFeed, worker, make_event: Make) -> None:
    gone = worker.started(make_event("1"))
    worker.started(make_event("2"))
    worker.complete(make_event("3"))
    worker.redis.xtrim(worker.keys.status, maxlen=1, approximate=False)
    assert [event.subject for _, event in feed.follow(after=gone, timeout=0.1)] == ["3"]


def test_waiting_gives_the_final_event_of_a_run_that_ended_long_ago(feed: StatusFeed, worker, make_event: Make) -> None:
    event = make_event()
    worker.complete(event)
    worker.redis.xtrim(worker.keys.status, maxlen=0, approximate=False)
    final = feed.wait(event.run, DEADLINE, content_digest=event.content_digest)
    assert isinstance(final, CompletedEvent)
    assert final.subject == event.subject


def test_waiting_gives_the_final_event_that_comes(feed: StatusFeed, worker, make_event: Make) -> None:
    event = make_event()
    timer = soon(lambda: worker.complete(event, "failed"))
    final = feed.wait(event.run, DEADLINE, content_digest=event.content_digest, event_id=event.id)
    timer.join()
    assert isinstance(final, CompletedEvent)
    assert final.data.state == "failed"


def test_waiting_ends_with_a_final_event_that_only_the_key_has(feed: StatusFeed, worker, make_event: Make) -> None:
    event = make_event()

    def complete_unseen() -> None:
        worker.redis.xdel(worker.keys.status, worker.complete(event))

    timer = soon(complete_unseen)
    assert feed.wait(event.run, DEADLINE).subject == event.subject
    timer.join()


def test_waiting_ends_in_time_whatever_else_goes_on(feed: StatusFeed, worker, make_event: Make) -> None:
    event, stop = make_event(), threading.Event()

    def chatter() -> None:
        number = 0
        while not stop.is_set():
            worker.started(make_event("other"), number := number + 1)

    thread = threading.Thread(target=chatter)
    thread.start()
    begun = time.monotonic()
    with pytest.raises(TransientError) as caught:
        feed.wait(event.run, 0.5)
    stop.set()
    thread.join()
    assert caught.value.code is ErrorCode.TIMED_OUT
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("refused_before", [True, False], ids=["refused before the wait", "refused during the wait"])
def test_a_run_id_of_other_content_is_answered_with_the_rejection_of_this_event(
    feed: StatusFeed, worker, make_event: Make, refused_before: bool
) -> None:
    first, second = make_event(), make_event(top=3)
    assert first.run == second.run
    worker.complete(first)
    timer = soon(lambda: worker.refuse(second), 0 if refused_before else 0.3)
    if refused_before:
        timer.join()
    final = feed.wait(second.run, DEADLINE, content_digest=second.content_digest, event_id=second.id)
    timer.join()
    assert isinstance(final, RejectedEvent)
    assert final.data.event_id == second.id


def test_the_refusal_of_another_event_does_not_end_the_run_that_has_the_id(
    feed: StatusFeed, worker, make_event: Make
) -> None:
    first, second = make_event(), make_event(top=3)
    worker.refuse(second)
    timer = soon(lambda: worker.complete(first))
    assert isinstance(feed.wait(first.run, DEADLINE), CompletedEvent)
    timer.join()


def test_watching_gives_the_events_of_the_run_up_to_its_final_one(feed: StatusFeed, worker, make_event: Make) -> None:
    event = make_event()
    worker.started(event)
    time.sleep(0.002)
    worker.progress(event, 50)
    watched = feed.watch(event.run, DEADLINE, progress=True)
    first = [each.type for each in islice(watched, 2)]
    worker.complete(event)
    rest = [each.type for each in watched]
    assert first == ["packhouse.package.started", "packhouse.package.progress"]
    assert rest == ["packhouse.packaging.completed"]


def test_waiting_survives_a_server_that_is_killed_and_started_again(own_server, make_event: Make) -> None:
    event = make_event()
    receipt = publish(event, own_server.url)
    answers: list[object] = []
    with StatusFeed(own_server.url) as feed:
        waiting = threading.Thread(
            target=lambda: answers.append(feed.wait(event.run, 60, after=receipt.entry_id)), daemon=True
        )
        waiting.start()
        own_server.kill()
        own_server.start()
        with Redis.from_url(own_server.url) as redis:
            from_worker = complete_on(redis, event)
        waiting.join(60)
    assert answers == [from_worker]


def complete_on(redis: Redis, event: RunFinished) -> CompletedEvent:
    now = "2030-01-01T00:00:00Z"
    timings = {"accepted_at": now, "completed_at": now, "seconds": 0.0}
    data = {"content_digest": event.content_digest, "state": "succeeded", "timings": timings}
    final = CompletedEvent.model_validate({"id": "f", "source": event.source, "subject": event.subject, "data": data})
    redis.xadd(Keys().status, {"event": final.model_dump_json(exclude_none=True)})
    return final


def test_without_a_server_following_says_so_and_waiting_waits(own_server, make_event: Make) -> None:
    own_server.stop()
    with StatusFeed(own_server.url) as feed:
        with pytest.raises(TransientError) as caught:
            feed.follow()
        assert caught.value.code is ErrorCode.CONNECTION_FAILED
        with pytest.raises(TransientError) as caught:
            feed.wait(make_event().run, 1.0)
        assert caught.value.code is ErrorCode.TIMED_OUT
