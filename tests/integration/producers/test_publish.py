from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from packhouse.producers import publish
from packhouse.schemas import ErrorCode, PackhouseError, PermanentError, RunFinished, TransientError
from packhouse.schemas.keys import FIELD, Keys

Make = Callable[..., RunFinished]


def entries(redis: Redis, namespace: str) -> list[tuple[bytes, dict[bytes, bytes]]]:
    found: Any = redis.xrange(Keys(namespace).run_queue)
    return found


def test_what_is_published_is_one_entry_with_the_event_and_is_on_disk(
    redis: Redis, redis_url: str, namespace: str, make_event: Make
) -> None:
    event = make_event()
    receipt = publish(event, redis_url, namespace=namespace)
    ((entry, fields),) = entries(redis, namespace)
    assert fields == {FIELD.encode(): event.to_wire()}
    assert (receipt.entry_id, receipt.event_id, receipt.run) == (entry.decode(), event.id, event.run)
    assert receipt.content_digest == event.content_digest
    assert receipt.durable
    assert receipt.note is None


def test_a_client_that_is_given_is_used_and_left_open(redis: Redis, namespace: str, make_event: Make) -> None:
    publish(make_event(), redis, namespace=namespace)
    publish(make_event("run-2"), redis, namespace=namespace, durable_timeout=0)
    assert len(entries(redis, namespace)) == 2
    assert redis.ping()


def test_an_event_that_was_published_outlives_the_server(own_server, make_event: Make) -> None:
    for number in range(3):
        assert publish(make_event(f"run-{number}"), own_server.url).durable
        own_server.kill()
        own_server.start()
    with Redis.from_url(own_server.url) as redis:
        assert len(entries(redis, "packhouse")) == 3


def test_a_server_without_append_only_file_is_said_not_to_be_durable(own_server, make_event: Make) -> None:
    with Redis.from_url(own_server.url) as redis:
        redis.config_set("appendonly", "no")
    receipt = publish(make_event(), own_server.url)
    assert not receipt.durable
    assert receipt.note == "the server keeps no append-only file"


def test_a_disk_that_does_not_follow_in_time_is_said(own_server, make_event: Make) -> None:
    with Redis.from_url(own_server.url) as redis:
        redis.config_set("appendfsync", "no")
    receipt = publish(make_event(), own_server.url, durable_timeout=0.05)
    assert not receipt.durable
    assert receipt.note == "the server's disk did not follow within 0.05 s"


@pytest.fixture
def old_server() -> Iterator[str]:
    """Answers as a server does that knows XADD and not WAITAOF."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with closing(connection), connection.makefile("rwb") as stream:
            while header := stream.readline():
                words: list[bytes] = []
                for _ in range(int(header[1:])):
                    words.append(stream.read(int(stream.readline()[1:])))
                    stream.readline()
                known = {b"XADD": b"$3\r\n1-1\r\n", b"WAITAOF": b"-ERR unknown command 'WAITAOF'\r\n"}
                stream.write(known.get(words[0], b"+OK\r\n") if words[0] != b"HELLO" else b"-ERR unknown command\r\n")
                stream.flush()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"redis://127.0.0.1:{listener.getsockname()[1]}?protocol=2"
    listener.close()
    thread.join(5)


def test_a_server_too_old_to_tell_is_said_to_be(old_server: str, make_event: Make) -> None:
    receipt = publish(make_event(), old_server)
    assert receipt.entry_id == "1-1"
    assert not receipt.durable
    assert receipt.note == "the server is too old to tell (WAITAOF came with Redis 7.2)"


def test_without_a_server_the_error_passes_by_itself_and_hides_the_password(make_event: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(TransientError) as caught:
        publish(make_event(), f"redis://ann:secret@127.0.0.1:{port}")
    assert caught.value.code is ErrorCode.CONNECTION_FAILED
    assert f"127.0.0.1:{port}" in caught.value.message
    assert "secret" not in str(caught.value.problem)


@pytest.mark.parametrize("address", ["not an address", "http://localhost", "redis://localhost:no/0"])
def test_what_is_no_address_is_refused(address: str, make_event: Make) -> None:
    with pytest.raises(PermanentError) as caught:
        publish(make_event(), address)
    assert caught.value.code is ErrorCode.CONFIGURATION_INVALID


def test_an_engine_needs_rights_to_its_keys_alone(own_server, make_event: Make) -> None:
    with Redis.from_url(own_server.url) as redis:
        redis.execute_command("ACL", "SETUSER", "engine", "on", ">pw", "~{packhouse}:runs", "+xadd", "+waitaof")
    address = own_server.url.replace("redis://", "redis://engine:pw@")
    assert publish(make_event(), address).durable
    with pytest.raises(PackhouseError) as caught:
        publish(make_event(), address, namespace="others")
    assert caught.value.code is ErrorCode.CONFIGURATION_INVALID


def test_publishing_says_where_the_event_lies_on_a_path_with_a_socket(tmp_path: Path, make_event: Make) -> None:
    with pytest.raises(TransientError, match=r"none\.sock"):
        publish(make_event(), f"unix://{tmp_path}/none.sock")
