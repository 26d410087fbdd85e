"""What each user of the deployments' server may do, tried with the real programs on a real server."""

from __future__ import annotations

import os
import subprocess
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError
from support.acl import FOLDER, GuardedServer
from support.farm import Farm, RunMaker, quick, wait_for
from support.flower import LOGIN, Flower, status_of
from support.ledger import DIGEST, ME, RUN, RUN_KEY, lease, open_alone, planned
from support.server import free_port

from packhouse.local.server import server_program
from packhouse.producers import StatusFeed, publish
from packhouse.producers.cli.group import run as run_command
from packhouse.schemas import CompletedEvent, RunRef, run_key
from packhouse.schemas.keys import DEFAULT_NAMESPACE, Keys
from packhouse.worker.ledger import Arrival, Ledger
from packhouse.worker.ledger.finding import sources_of
from packhouse.worker.ledger.letters import DeadLetters
from packhouse.worker.ledger.standing import look
from packhouse.worker.packagers.registry import QUEUES
from packhouse.worker.settings import Settings

KEYS = Keys()
COLUMNS = "&search%5Bvalue%5D=&order%5B0%5D%5Bcolumn%5D=0&order%5B0%5D%5Bdir%5D=asc&columns%5B0%5D%5Bdata%5D=name"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedServer]:
    guarded = GuardedServer(tmp_path_factory.mktemp("guarded"), free_port(), str(server_program()))
    guarded.wait()
    yield guarded
    guarded.stop()


@pytest.fixture
def farm(server: GuardedServer, tmp_path: Path) -> Iterator[Farm]:
    """Workers that know the server as its user `worker`."""
    made = Farm(quick(server.url("worker"), DEFAULT_NAMESPACE, tmp_path), tmp_path)
    yield made
    made.close()


def refused(server: GuardedServer, user: str, *command: str | int) -> bool:
    with server.client(user) as client:
        try:
            client.execute_command(*command)
        except ResponseError as error:
            # Within a script the refusal has no class of its own.
            return isinstance(error, NoPermissionError) or "ACL failure" in str(error)
        return False


def test_an_engine_publishes_and_reads_what_became_of_it_and_workers_do_all_of_it(
    server: GuardedServer, farm: Farm, make_run: RunMaker
) -> None:
    farm.start()
    event = make_run(f"run-{uuid.uuid4().hex}")
    receipt = publish(event, server.url("engine"))
    assert receipt.durable
    with StatusFeed(server.url("engine")) as feed:
        final = feed.wait(event.run, timeout=30)
    assert isinstance(final, CompletedEvent)
    assert final.data.state == "succeeded"
    garbage = make_run(f"run-{uuid.uuid4().hex}").to_wire()[:-20]
    farm.publish(garbage)
    wait_for(lambda: farm.redis.xlen(farm.keys.dead_letters), what="a dead letter")
    assert farm.workers[0].stop() == 0
    assert "NoPermission" not in farm.logs()
    assert "NOPERM" not in farm.logs()
    assert "Unforeseen" not in farm.logs(), "a worker that stops has nothing to complain of"


def test_an_engine_may_read_the_status_in_a_group(server: GuardedServer) -> None:
    with server.client("worker") as worker:
        worker.xadd(KEYS.status, {"event": "{}"})
    with server.client("engine") as engine:
        engine.xgroup_create(KEYS.status, "engines", id="0")
        assert engine.xreadgroup("engines", "e1", {KEYS.status: ">"}, count=1)
        assert engine.xack(KEYS.status, "engines", "1-1") == 0
        engine.xautoclaim(KEYS.status, "engines", "e1", min_idle_time=0)


@pytest.mark.parametrize(
    "command",
    [
        ("LPUSH", f"{KEYS.prefix}celery:ranking", "{}"),
        ("LPUSH", "ranking", "{}"),
        ("LRANGE", f"{KEYS.prefix}celery:ranking", 0, -1),
        ("PUBLISH", f"/0.{KEYS.prefix}celery:celery.pidbox", "{}"),
        ("HGETALL", f"{KEYS.prefix}run:x"),
        ("HSET", f"{KEYS.prefix}job:x:rank", "state", "settled"),
        ("XADD", KEYS.status, "*", "event", "{}"),
        ("XADD", KEYS.dead_letters, "*", "event", "{}"),
        ("XRANGE", KEYS.run_queue, "-", "+"),
        ("XREADGROUP", "GROUP", "packhouse", "e1", "STREAMS", KEYS.run_queue, ">"),
        ("XTRIM", KEYS.run_queue, "MAXLEN", 0),
        ("XGROUP", "DESTROY", KEYS.status, "engines"),
        ("DEL", KEYS.run_queue),
        ("SET", f"{KEYS.prefix}final:x", "y"),
        ("EVAL", "return 1", 0),
        ("SUBSCRIBE", "x"),
        ("SCAN", 0),
        ("KEYS", "*"),
        ("FLUSHALL",),
        ("CONFIG", "GET", "*"),
        ("ACL", "LIST"),
        ("SHUTDOWN",),
    ],
    ids=lambda command: " ".join(map(str, command))[:40],
)
def test_an_engine_can_do_nothing_else(server: GuardedServer, command: tuple[str | int, ...]) -> None:
    assert refused(server, "engine", *command)


@pytest.mark.parametrize(
    "command",
    [
        ("GET", "another:key"),
        ("SET", "{packhouse2}:x", "y"),
        ("FLUSHALL",),
        ("CONFIG", "SET", "maxmemory", "1"),
        ("KEYS", "*"),
        ("ACL", "SETUSER", "x"),
        ("SHUTDOWN",),
        ("FUNCTION", "LIST"),
        ("REPLICAOF", "NO", "ONE"),
        ("PUBLISH", "another", "x"),
    ],
    ids=lambda command: " ".join(map(str, command))[:40],
)
def test_a_worker_keeps_to_its_namespace_and_does_not_administer(
    server: GuardedServer, command: tuple[str | int, ...]
) -> None:
    assert refused(server, "worker", *command)


def test_an_operator_does_all_that_the_commands_do(server: GuardedServer, capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings()
    with server.client("worker") as worker, server.client("operator") as client:
        work, operator = Ledger(worker, settings), Ledger(client, settings)
        planned(work, 2)
        work.freeze(lease(work, "0", "t"), "{}", "place")
        assert look(client, settings.namespace, RUN, 120)
        assert sources_of(operator, RUN.id) == [RUN.source]
        address = ["--redis-url", server.url("engine"), "--namespace", settings.namespace, "--source", RUN.source]
        assert run_command(["status", RUN.id, *address]) == 0
        told = capsys.readouterr()
        assert "Zipfile P0: at work for" in told.out
        assert "this user may not read the ledger" in told.err
        assert operator.cancel(RUN_KEY).ended == 2
        assert operator.reopen(RUN_KEY).round == 2
        assert operator.cancel(RUN_KEY).ended == 2
        rejected = RunRef(source="/farm", id="wrong")
        open_alone(work, Arrival(rejected, "e", DIGEST, "{}"))
        held = work.lease(run_key(rejected), "rank", "t", ME)
        assert held
        work.reject(held, rejected='{"error":{"code":"event_invalid","message":"m","fix":"f"}}', reason="r")
        with Redis.from_url(server.url("operator")) as raw:
            letters = DeadLetters(Ledger(raw, settings))
            newest = letters.latest(1)[0]
            assert letters.event(newest.id)
            assert letters.replay(newest.id).outcome == "replayed"
            assert letters.drop([newest.id]) == 0


@pytest.mark.parametrize(
    "command",
    [
        ("LPUSH", f"{KEYS.prefix}celery:ranking", "{}"),
        ("GET", "another:key"),
        ("SET", f"{KEYS.prefix}worker:x", "y"),
        ("EVAL", "return redis.call('LPUSH', KEYS[1], 'x')", 1, f"{KEYS.prefix}celery:ranking"),
        ("PUBLISH", f"/0.{KEYS.prefix}celery:celery.pidbox", "{}"),
        ("KEYS", "*"),
        ("FLUSHALL",),
        ("CONFIG", "GET", "*"),
        ("ACL", "LIST"),
    ],
    ids=lambda command: " ".join(map(str, command))[:40],
)
def test_an_operator_has_no_say_over_celery_or_the_server(
    server: GuardedServer, command: tuple[str | int, ...]
) -> None:
    assert refused(server, "operator", *command)


def test_a_scaler_counts_open_jobs_and_no_more(server: GuardedServer) -> None:
    with server.client("scaler") as scaler:
        assert [scaler.xlen(f"{KEYS.prefix}open:{queue}") for queue in QUEUES] == [0, 0, 0]
    for command in (("XRANGE", f"{KEYS.prefix}open:ranking", "-", "+"), ("XLEN", KEYS.run_queue), ("GET", "x")):
        assert refused(server, "scaler", *command)


def test_nobody_is_let_in_without_a_name_or_with_another_password(server: GuardedServer) -> None:
    for url in (f"redis://127.0.0.1:{server.port}", f"redis://engine:wrong@127.0.0.1:{server.port}"):
        with Redis.from_url(url) as stranger, pytest.raises(AuthenticationError):
            stranger.ping()


def test_a_password_that_is_short_or_missing_stops_the_start(tmp_path: Path) -> None:
    for name, text in (("engine", "x" * 16), ("worker", "short")):
        (tmp_path / f"redis-{name}-password").write_text(text)
    environment = os.environ | {
        "PACKHOUSE_REDIS_CONF": str(FOLDER),
        "PACKHOUSE_REDIS_PASSWORDS": str(tmp_path),
        "PACKHOUSE_REDIS_RUN": str(tmp_path),
        "REDIS_SERVER": "false",
    }
    ended = subprocess.run(
        ["sh", str(FOLDER / "start.sh")], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 5
    assert ended.stderr.strip() == f"The password in {tmp_path}/redis-worker-password is shorter than 16 characters."
    assert not (tmp_path / "users.acl").exists()


@pytest.mark.full
def test_flower_shows_tasks_and_workers_and_can_send_nothing_to_be_done(
    server: GuardedServer, farm: Farm, make_run: RunMaker, tmp_path: Path
) -> None:
    farm.start()
    flower = Flower(tmp_path, farm.environment() | {"PACKHOUSE_REDIS_URL": server.url("flower")})
    try:
        flower.start()
        wait_for(lambda: "w1@test" in page(flower, "/workers"), what=f"the worker in Flower: {flower.log}")
        event = make_run(f"run-{uuid.uuid4().hex}")
        publish(event, server.url("engine"))
        farm.wait_final(event)
        wait_for(lambda: "packhouse.package" in page(flower, "/tasks/datatable?draw=1&start=0&length=10" + COLUMNS),
                 what="the tasks in Flower")  # fmt: skip
        request = urllib.request.Request(f"{flower.url}/api/worker/shutdown/w1@test", method="POST")
        assert status_of(request, password=True) == 403
        assert farm.workers[0].process.poll() is None
        assert "no permission" not in flower.log.read_text().lower(), flower.log.read_text()
    finally:
        flower.stop()
    for command in (
        ("LPUSH", f"{KEYS.prefix}celery:ranking", "{}"),
        ("HGETALL", f"{KEYS.prefix}run:x"),
        ("XADD", KEYS.run_queue, "*", "event", "{}"),
        ("XRANGE", KEYS.status, "-", "+"),
        ("EVAL", "return redis.call('LPUSH', KEYS[1], 'x')", 1, f"{KEYS.prefix}celery:ranking"),
        ("FLUSHALL",),
    ):
        assert refused(server, "flower", *command)


def page(flower: Flower, path: str) -> str:
    request = urllib.request.Request(f"{flower.url}{path}", headers={"Authorization": LOGIN})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read().decode()
