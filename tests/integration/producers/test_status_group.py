from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytest
from redis import Redis

from packhouse.producers import StatusFeed
from packhouse.schemas import RunFinished
from packhouse.schemas.keys import Keys

Make = Callable[..., RunFinished]
DEADLINE = 20.0


@pytest.fixture
def feed(redis_url: str, namespace: str) -> Iterator[StatusFeed]:
    with StatusFeed(redis_url, namespace) as feed:
        yield feed


def pending(redis: Redis, namespace: str) -> int:
    found: Any = redis.xpending(Keys(namespace).status, "engine")
    return found["pending"]


def subjects(events: Iterator[tuple[str, Any]]) -> list[str]:
    return [event.subject for _, event in events]


def test_every_event_goes_to_one_reader_of_the_group(feed: StatusFeed, worker, make_event: Make) -> None:
    one, two = feed.group("engine", "one"), feed.group("engine", "two")
    for number in range(4):
        worker.complete(make_event(str(number)))
    first = [event.subject for _, event in islice(one.events(count=2, timeout=DEADLINE), 2)]
    second = subjects(two.events(timeout=0.1))
    assert sorted(first + second) == ["0", "1", "2", "3"]
    assert len(second) == 2


def test_what_is_not_acknowledged_comes_again_to_the_reader_that_starts_again(
    feed: StatusFeed, worker, make_event: Make, redis: Redis, namespace: str
) -> None:
    for number in range(3):
        worker.complete(make_event(str(number)))
    reader = feed.group("engine", "one")
    (entry, _), *_ = list(reader.events(timeout=0.1))
    reader.ack(entry)
    assert subjects(feed.group("engine", "one").events(timeout=0.1)) == ["1", "2"]
    assert pending(redis, namespace) == 2


def test_what_a_dead_reader_left_is_taken_over(feed: StatusFeed, worker, make_event: Make) -> None:
    worker.complete(make_event())
    assert len(list(feed.group("engine", "dead").events(timeout=0.1))) == 1
    alive = feed.group("engine", "alive", takeover=0.2)
    entry, event = next(alive.events(timeout=DEADLINE))
    assert event.subject == "run-1"
    alive.ack(entry)


def test_a_second_copy_is_dropped_and_acknowledged(
    feed: StatusFeed, worker, make_event: Make, redis: Redis, namespace: str
) -> None:
    event = make_event()
    worker.complete(event)
    worker.complete(event)
    reader = feed.group("engine", "one")
    (entry, _), *others = list(reader.events(timeout=0.1))
    assert not others
    reader.ack(entry)
    assert pending(redis, namespace) == 0


def test_unknown_and_trimmed_entries_do_not_stay_pending(
    feed: StatusFeed, worker, make_event: Make, redis: Redis, namespace: str
) -> None:
    worker.noise("no JSON")
    worker.complete(make_event())
    assert len(list(feed.group("engine", "one").events(timeout=0.1))) == 1
    redis.xtrim(worker.keys.status, maxlen=0, approximate=False)
    assert list(feed.group("engine", "one").events(timeout=0.1)) == []
    assert pending(redis, namespace) == 0


def test_a_new_group_may_begin_with_what_comes_next(feed: StatusFeed, worker, make_event: Make) -> None:
    worker.complete(make_event("before"))
    reader = feed.group("engine", "one", start="$")
    worker.complete(make_event("after"))
    assert subjects(reader.events(timeout=0.1)) == ["after"]


def test_a_group_that_the_server_lost_is_made_again(feed: StatusFeed, worker, make_event: Make, redis: Redis) -> None:
    reader = feed.group("engine", "one")
    redis.delete(worker.keys.status)
    worker.complete(make_event())
    assert next(reader.events(timeout=DEADLINE))[1].subject == "run-1"


def test_reading_goes_on_after_the_server_was_killed(own_server, make_event: Make) -> None:
    with StatusFeed(own_server.url) as feed:
        events = feed.group("engine", "one").events(timeout=60)
        with Redis.from_url(own_server.url) as redis:
            add(redis, make_event("1"))
            assert next(events)[1].subject == "1"
            redis.waitaof(1, 0, 10_000)
        own_server.kill()
        own_server.start()
        with Redis.from_url(own_server.url) as redis:
            add(redis, make_event("2"))
        assert next(events)[1].subject == "2"


def add(redis: Redis, event: RunFinished) -> None:
    data = {"package": {"type": "Zipfile", "name": "A"}, "attempt": 1, "worker": "w"}
    fields = {"id": event.id, "source": event.source, "subject": event.subject, "data": data}
    from packhouse.schemas.status import PackageStartedEvent

    status = PackageStartedEvent.model_validate(fields)
    redis.xadd(Keys().status, {"event": status.model_dump_json(exclude_none=True)})
