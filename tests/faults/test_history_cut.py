"""The server dies and the end of its append-only file with it: what was promised holds, the rest is done again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.farm import Farm, RunMaker, wait_for
from support.server import Server

from packhouse.producers import publish

pytestmark = pytest.mark.full


def test_a_run_whose_end_was_forgotten_ends_again_with_the_same_bytes_and_the_same_name(
    own_server: Server, farm_on: Callable[..., Farm], make_run: RunMaker
) -> None:
    farm = farm_on(own_server.url)
    farm.redis.config_set("appendfsync", "always")
    (worker,) = farm.start()
    event = make_run()
    farm.hold("zip.poured")
    assert publish(event, own_server.url, namespace=farm.settings.namespace).durable
    farm.wait_reached("zip.poured")
    log = newest_log(own_server)
    promised = log.stat().st_size
    farm.let_go("zip.poured")
    first = farm.wait_final(event)
    package = Path(event.data.output_dir) / "OutputModels.zip"
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    worker.kill()
    own_server.kill()
    assert log.stat().st_size > promised
    os.truncate(log, promised + 40)  # in the middle of a command
    own_server.start()
    assert not farm.redis.exists(farm.keys.final(event.run)), "the end was forgotten"
    farm.start()
    second = farm.wait_final(event)
    assert second.id == first.id, "a reader that saw the first knows the second for the same"
    assert second.data.packages[0].digest == first.data.packages[0].digest
    assert hashlib.sha256(package.read_bytes()).hexdigest() == digest


def test_an_event_that_the_file_has_lost_may_be_sent_again(
    own_server: Server, farm_on: Callable[..., Farm], make_run: RunMaker
) -> None:
    farm = farm_on(own_server.url)
    event = make_run()
    log = newest_log(own_server)
    before = log.stat().st_size
    publish(event, own_server.url, namespace=farm.settings.namespace)
    wait_for(lambda: log.stat().st_size > before, what="the file to grow")
    own_server.kill()
    os.truncate(log, before)
    own_server.start()
    assert not farm.redis.exists(farm.keys.run_queue)
    publish(event, own_server.url, namespace=farm.settings.namespace)
    farm.start()
    assert farm.wait_final(event).data.state == "succeeded"
    assert len(farm.finals()) == 1


def newest_log(server: Server) -> Path:
    return max((server.folder / "appendonlydir").glob("*.incr.aof"), key=lambda file: file.stat().st_mtime_ns)
