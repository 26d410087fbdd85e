from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest
from redis.exceptions import RedisError
from support.farm import wait_for
from support.local_stack import Up, packhouse
from support.processes import alive

from packhouse.local import tether
from packhouse.schemas.keys import Keys

pytestmark = pytest.mark.slow


def answers(up: Up) -> bool:
    try:
        with up.redis() as redis:
            return bool(redis.ping())
    except RedisError:
        return False


def beating(up: Up) -> list[bytes]:
    with up.redis() as redis:
        return list(redis.scan_iter(match=f"{Keys().prefix}worker:*"))


def test_one_line_says_where_it_is_and_everything_answers(tmp_path: Path) -> None:
    with Up(tmp_path) as up:
        assert answers(up)
        with urllib.request.urlopen(f"{up.flower_url}/healthcheck", timeout=5) as answer:
            assert answer.status == 200
        assert len(up.children("worker")) == 2
        env = dict(line.split("=", 1) for line in (up.data_dir / "env").read_text().splitlines())
        assert env["PACKHOUSE_REDIS_URL"] == up.redis_url
        assert env["PACKHOUSE_FLOWER_URL"] == up.flower_url
        assert env["PACKHOUSE_ROOTS"] == str(tmp_path)
        assert stat.S_IMODE((up.data_dir / "env").stat().st_mode) == 0o600
        with up.redis() as redis:
            settings = redis.config_get("appendonly", "appendfsync", "maxmemory-policy", "bind")
        assert settings == {
            "appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction", "bind": "127.0.0.1",
        }  # fmt: skip
        assert up.stop() == 0
        assert up.process.stdout
        assert up.process.stdout.read() == ""


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, *(pytest.param(each, marks=pytest.mark.full) for each in (signal.SIGINT, signal.SIGHUP))]
)
def test_a_signal_ends_it_with_status_0_and_no_process_is_left(tmp_path: Path, number: signal.Signals) -> None:
    with Up(tmp_path, "--no-flower") as up:
        everyone = up.family
        assert len(everyone) >= 6, "itself, the server, two workers with a process each"
        up.process.send_signal(number)
        assert up.process.wait(30) == 0
        assert not up.left(everyone)
        assert "Traceback" not in up.said


def test_a_signal_while_it_starts_ends_it_too(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "packhouse.producers.cli", "up", "--data-dir", "stack"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_for((tmp_path / "stack/logs/worker-1.log").exists, what="the first worker's start")
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "")
    assert "Traceback" not in errors


def test_no_process_is_left_when_it_is_killed(tmp_path: Path) -> None:
    with Up(tmp_path) as up:
        everyone = up.family
        up.kill()
        up.all_gone(everyone)


@pytest.mark.full
def test_a_restart_has_the_same_address_and_the_same_data(tmp_path: Path) -> None:
    with Up(tmp_path, "--no-flower") as first:
        with first.redis() as redis:
            redis.set("kept", "1")
        assert first.stop() == 0
    with Up(tmp_path, "--no-flower") as second:
        assert second.redis_url == first.redis_url
        with second.redis() as redis:
            assert redis.get("kept") == b"1"
            redis.set("kept", "2")
            redis.waitaof(1, 0, 5000)
        second.kill()
    with Up(tmp_path, "--no-flower") as third:
        assert third.redis_url == first.redis_url
        with third.redis() as redis:
            assert redis.get("kept") == b"2"


def test_what_dies_is_started_again_and_said_in_a_line(tmp_path: Path) -> None:
    with Up(tmp_path) as up:
        with up.redis() as redis:
            redis.set("kept", "1")
            redis.waitaof(1, 0, 5000)
        for kind in ("worker", "flower", "server"):
            (victim, *_), count = up.children(kind), len(up.children(kind))
            victim.kill()
            wait_for(
                lambda kind=kind, victim=victim, count=count: (
                    len([one for one in up.children(kind) if one.pid != victim.pid]) == count
                ),
                seconds=20,
                what=f"another {kind}",
            )
        wait_for(lambda: answers(up), what="the server")
        with up.redis() as redis:
            assert redis.get("kept") == b"1"
        wait_for(lambda: len(beating(up)) >= 2, what="the workers")
        for name in ("worker-", "flower", "server"):
            (line,) = [line for line in up.errors if f"packhouse: {name}" in line and "ended" in line]
            assert "killed by SIGKILL" in line
            assert "starting it again" in line
        everyone = up.family
        assert up.stop() == 0
        assert not up.left(everyone)


@pytest.mark.full
def test_a_second_one_on_the_same_folder_is_told_who_runs(tmp_path: Path) -> None:
    with Up(tmp_path, "--no-flower", "--concurrency", "1") as up:
        assert up.flower_url == "off"
        assert len(up.children("worker")) == 1
        second = packhouse("up", "--data-dir", str(up.data_dir), folder=tmp_path)
        assert second.returncode == 5
        assert f"process {up.process.pid}" in second.stderr
        assert "Traceback" not in second.stderr
        assert answers(up)


@pytest.mark.parametrize(
    ("options", "status", "told"),
    [
        (("--root", "missing"), 2, "missing"),
        (("--concurrency", "0"), 2, "0"),
        (("--map", "/srv/olive"), 5, "FROM=TO"),
        (("--map", "/srv/olive=relative"), 5, "FROM=TO"),
        (("--map", "/srv/olive=/elsewhere"), 5, "Add --root /elsewhere"),
        (("--data-dir", "/dev/null/stack"), 5, "--data-dir"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_remedy(
    tmp_path: Path, options: tuple[str, ...], status: int, told: str
) -> None:
    refused = packhouse("up", *options, folder=tmp_path)
    assert refused.returncode == status
    assert told in refused.stderr
    assert "Traceback" not in refused.stderr
    assert refused.stdout == ""


def test_a_process_that_does_not_start_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    broken = {"PACKHOUSE_LEASE_SECONDS": "never"}
    refused = subprocess.run(
        [sys.executable, "-m", "packhouse.producers.cli", "up"],
        cwd=tmp_path, env={**os.environ, **broken}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert refused.returncode == 5
    assert "PACKHOUSE_LEASE_SECONDS" in refused.stderr
    torn = tmp_path / ".packhouse/redis/appendonlydir"
    torn.mkdir(parents=True)
    (torn / "appendonly.aof.manifest").write_text("this is no manifest\n")
    refused = packhouse("up", folder=tmp_path)
    assert refused.returncode == 5
    assert "server ended while it was starting" in refused.stderr
    assert "manifest" in refused.stderr


@pytest.mark.full
def test_flowers_memory_may_be_torn(tmp_path: Path) -> None:
    flower = tmp_path / "stack/flower"
    flower.mkdir(parents=True)
    for name in ("flower", "flower.dat", "flower.dir", "flower.bak", "flower.db"):
        (flower / name).write_bytes(b"\x00torn")
    with Up(tmp_path, "--concurrency", "1") as up, urllib.request.urlopen(f"{up.flower_url}/healthcheck") as answer:
        assert answer.status == 200


def test_a_command_is_not_started_for_a_parent_that_is_gone() -> None:
    command = [sys.executable, "-I", "-S", tether.__file__, "1", "/bin/echo", "ran"]
    gone = subprocess.run(command, capture_output=True, check=False)
    assert (gone.returncode, gone.stdout) == (1, b"")


def test_a_tethered_command_dies_with_its_parent() -> None:
    script = (
        "import os, subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, {tether.__file__!r}, str(os.getpid()), '/bin/sleep', '600'])\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout
        child = psutil.Process(int(parent.stdout.readline()))
        wait_for(lambda: child.cmdline() == ["/bin/sleep", "600"], what="the command")
        parent.kill()
    wait_for(lambda: not alive([child]), seconds=5, what="the child's end")
