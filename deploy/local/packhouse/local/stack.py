"""The embedded stack: server, workers, Flower, stand-in for Azure; started together, kept alive, stopped in order."""

from __future__ import annotations

import http.client
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from packhouse.local.azure.choice import azurite_for
from packhouse.local.azure.environment import PROXY, azure_environment, fetching_as_before, without_azure
from packhouse.local.azure.place import Place
from packhouse.local.azure.processes import programs
from packhouse.local.azure.remote import Remote
from packhouse.local.child import Child
from packhouse.local.folder import DataFolder
from packhouse.local.server import server_command
from packhouse.schemas.errors import ErrorCode, PackhouseError, PermanentError
from packhouse.schemas.keys import Keys
from packhouse.schemas.paths import PathRule
from packhouse.worker.packagers.registry import QUEUES
from packhouse.worker.settings import Settings, load

READY_SECONDS: Final = 60.0
_POLL: Final = 0.05
_LOGS_EVERY: Final = 10.0
_FLOWER_STARTS: Final = 2
_KEEPERS: Final = ("azure", "azurite", "server")
"""Processes that keep something for the next start."""


def _to_stderr(line: str) -> None:
    sys.stderr.write(f"packhouse: {line}\n")
    sys.stderr.flush()


class Stack:
    """A server, ``concurrency`` packaging processes, Flower and a stand-in for Azure on this machine.

    All state is in one data folder. Where the stand-in cannot be had, ``say`` is told and the rest starts without.

    A context manager: inside it the stack is ready. One thread starts and watches all processes, and they die with it.
    Raises ``PermanentError`` where the settings are wrong or a process does not come up.
    """

    def __init__(
        self,
        data_dir: Path,
        roots: Sequence[Path],
        *,
        maps: Sequence[str] = (),
        concurrency: int = 2,
        flower: bool = True,
        azure: bool = False,
        environment: Mapping[str, str] | None = None,
        say: Callable[[str], None] = _to_stderr,
    ) -> None:
        self.folder = DataFolder(data_dir)
        self.redis_url = ""
        self.flower_url: str | None = None
        self.metrics_urls: list[str] = []
        """Where each worker tells Prometheus how it is."""
        self._roots = [str(root.resolve()) for root in roots]
        self._maps = list(maps)
        self._concurrency = concurrency
        self._with_flower = flower
        self._with_azure = azure
        self._azure: Remote | None = None
        self._say = say
        self._environment = {**os.environ, **(environment or {})}
        self._settings = self._checked_settings()
        self._children: list[Child] = []
        self._ready = threading.Event()
        self._stopping = threading.Event()
        self._hurried = threading.Event()
        self._error: PackhouseError | None = None
        self._thread = threading.Thread(target=self._run, name="packhouse-stack", daemon=True)

    @property
    def pids(self) -> dict[str, int]:
        """Name to process id of what runs: ``server``, ``azurite``, ``azure``, ``worker-1``…, ``flower``."""
        return {child.name: child.pid for child in self._children if child.pid is not None}

    @property
    def keys(self) -> Keys:
        """The keys at the border."""
        return Keys(self._settings.namespace)

    @property
    def azure_environment(self) -> dict[str, str]:
        """Environment that leads Azure's SDKs to the stand-in; empty where there is none."""
        return azure_environment(Place(self.folder.azure), self._azure.port) if self._azure else {}

    def start(self) -> Self:
        """Start everything and wait until it is ready."""
        self.folder.claim()
        self._thread.start()
        # The system may give a signal to any thread, and only a main thread that wakes up hears of it.
        while not self._ready.wait(_POLL):
            pass
        if self._error:
            self.stop()
            raise self._error
        return self

    def stop(self) -> None:
        """Let the workers finish or hand back what they do, then end everything; returns when nothing is left."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self.folder.release()

    def ask_to_stop(self) -> None:
        """Begin to stop, and return at once. ``start`` then raises, ``stop`` waits for the end."""
        self._stopping.set()

    def hurry(self) -> None:
        """Do not wait for work in progress: another worker, or the next start, will do it."""
        self._hurried.set()
        self._stopping.set()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _checked_settings(self) -> Settings:
        """The settings that the workers will have, read by the workers' own rules."""
        for name, values, separator in (("--root", self._roots, os.pathsep), ("--map", self._maps, ";")):
            for value in values:
                if separator in value or "\n" in value:
                    raise PermanentError(
                        ErrorCode.CONFIGURATION_INVALID,
                        f"{value!r} holds a character that {name} cannot take ({separator!r} or a line break).",
                        fix="Give the folder another name, or a link to it.",
                    )
        self._environment = {
            # Celery's own variables would turn its settings over: this stack has a server of its own.
            **{key: value for key, value in self._environment.items() if not key.startswith("CELERY_")},
            # A person reads these files.
            "PACKHOUSE_LOG_FORMAT": self._environment.get("PACKHOUSE_LOG_FORMAT", "text"),
            "PACKHOUSE_ROOTS": os.pathsep.join(self._roots),
            "PACKHOUSE_PATH_MAPS": ";".join(self._maps),
        }
        settings = load(roots=tuple(self._roots), path_maps=tuple(self._maps))
        for rule in settings.path_map.rules:
            if not any(PathRule(root, root).applies_to(rule.target) for root in self._roots):
                raise PermanentError(
                    ErrorCode.CONFIGURATION_INVALID,
                    f"{rule.target}, where --map says to look, lies outside the storage roots.",
                    fix=f"Add --root {rule.target}.",
                )
        return settings

    # What follows runs in the stack's thread.

    def _run(self) -> None:
        try:
            self._bring_up()
        except PackhouseError as error:
            self._error = error
        else:
            self._ready.set()
            self._watch()
        finally:
            self._take_down()
            self._ready.set()

    def _bring_up(self) -> None:
        home = azurite_for(self._settings, self._say, self._stopping.is_set) if self._with_azure else None
        port = self.folder.port("PACKHOUSE_REDIS_URL")
        self.redis_url = f"redis://127.0.0.1:{port}/0"
        self._environment["PACKHOUSE_REDIS_URL"] = self.redis_url
        deadline = time.monotonic() + READY_SECONDS
        server = self._child("server", server_command(port, self.folder.redis), self.folder.redis)
        self._launch(server)
        azure = self._stand_in(home) if home else []
        redis = Redis.from_url(self.redis_url, socket_timeout=2, retry=Retry(NoBackoff(), 0), decode_responses=True)
        with redis:
            self._await("the server", lambda: _answers(redis), deadline, [server])
            workers = self._workers()
            names = {name for name, _ in workers}
            _forget(redis, self.keys, names)
            for _, worker in workers:
                self._launch(worker)
            flower = self._flower()
            everyone = [child for child in self._children if child is not flower]
            self._await("the workers", lambda: names <= _heard_of(redis, self.keys), deadline, everyone)
            if self._azure:
                self._await("the stand-in for Azure", self._azure.ready, deadline, [server, *azure])
            if flower:
                self._await("Flower", self._flower_answers, deadline, everyone)
        self._must_go_on()
        self.folder.write_env(
            {
                "PACKHOUSE_REDIS_URL": self.redis_url,
                "PACKHOUSE_NAMESPACE": self.keys.namespace,
                "PACKHOUSE_FLOWER_URL": self.flower_url or self.folder.read_env().get("PACKHOUSE_FLOWER_URL", ""),
                **{f"PACKHOUSE_METRICS_{number}_URL": url for number, url in enumerate(self.metrics_urls, start=1)},
                "PACKHOUSE_ROOTS": self._environment["PACKHOUSE_ROOTS"],
                "PACKHOUSE_PATH_MAPS": self._environment["PACKHOUSE_PATH_MAPS"],
                **self.azure_environment,
            }
        )

    def _stand_in(self, home: Path) -> list[Child]:
        place = Place(self.folder.azure)
        self._azure = Remote(self.folder.port(PROXY))
        found = programs(place, home, self._azure.port, self.folder.port("PACKHOUSE_AZURITE_URL"))
        clean = without_azure(self._environment)
        children = [
            Child(
                one.name,
                one.command,
                environment={**clean, **one.environment},
                folder=place.path,
                log=self.folder.log(one.name),
            )
            for one in found
        ]
        for child in children:
            self._launch(child)
        self._environment = {**clean, **self.azure_environment, **fetching_as_before(clean)}
        return children

    def _workers(self) -> list[tuple[str, Child]]:
        """Two workers share the slots, so that killing one leaves the other at work."""
        slots = [self._concurrency - self._concurrency // 2, self._concurrency // 2]
        workers: list[tuple[str, Child]] = []
        for number, count in enumerate(filter(None, slots), start=1):
            name = f"worker-{number}@{socket.gethostname()}"
            command = [
                *_celery(), "worker", "--pool", "prefork", "--concurrency", str(count), "--queues", ",".join(QUEUES),
                "--hostname", name, "--loglevel", "INFO", "--without-gossip", "--without-mingle",
            ]  # fmt: skip
            port = self.folder.port(f"PACKHOUSE_METRICS_{number}_URL")
            self.metrics_urls.append(f"http://127.0.0.1:{port}/metrics")
            own = {"PACKHOUSE_METRICS_PORT": str(port), "PACKHOUSE_METRICS_ADDRESS": "127.0.0.1"}
            workers.append((name, self._child(f"worker-{number}", command, self.folder.logs, **own)))
        return workers

    def _flower(self) -> Child | None:
        if not self._with_flower:
            return None
        port = self.folder.port("PACKHOUSE_FLOWER_URL")
        self.flower_url = f"http://127.0.0.1:{port}"
        command = [
            *_celery(), "flower", f"--conf={Path(__file__).with_name('flowerconfig.py')}", "--address=127.0.0.1",
            f"--port={port}", f"--db={self.folder.flower / 'flower'}",
        ]  # fmt: skip
        flower = self._child("flower", command, self.folder.flower)
        self._launch(flower)
        return flower

    def _flower_answers(self) -> bool:
        flower = self._children[-1]
        if flower.pid is None and flower.deaths < _FLOWER_STARTS:
            # Its memory of past tasks may have been torn by a kill -9. It is a view only: begin a new one.
            for file in self.folder.flower.glob("flower*"):
                file.unlink()
            flower.look_after(self._say)
        elif flower.pid is None:
            raise self._did_not_start(flower.name)
        return _healthy(self.flower_url or "")

    def _child(self, name: str, command: Sequence[str], folder: Path, **own: str) -> Child:
        environment = {**self._environment, **own}
        return Child(name, command, environment=environment, folder=folder, log=self.folder.log(name))

    def _launch(self, child: Child) -> None:
        self._children.append(child)
        child.start()

    def _await(self, what: str, ready: Callable[[], bool], deadline: float, needed: Sequence[Child]) -> None:
        while not ready():
            self._must_go_on()
            for child in needed:
                if child.pid is None:
                    raise self._did_not_start(child.name)
            if time.monotonic() > deadline:
                raise PermanentError(
                    ErrorCode.TIMED_OUT,
                    f"{what.capitalize()} did not come up within {READY_SECONDS:.0f} s.",
                    fix=f"Look into the logs in {self.folder.logs}.",
                )
            time.sleep(_POLL)

    def _must_go_on(self) -> None:
        if self._stopping.is_set():
            raise PermanentError(ErrorCode.TIMED_OUT, "Stopped while starting.", fix="Start it again.")

    def _did_not_start(self, name: str) -> PermanentError:
        log = self.folder.log(name)
        return PermanentError(
            ErrorCode.CONFIGURATION_INVALID,
            f"{name} ended while it was starting. The last lines of {log}:\n{self.folder.tail(name)}",
            fix="Correct what they complain about, then start again.",
        )

    def _watch(self) -> None:
        logs_due = time.monotonic() + _LOGS_EVERY
        while not self._stopping.wait(0.1):
            for child in self._children:
                child.look_after(self._say)
            if time.monotonic() > logs_due:
                self.folder.bound_logs()
                logs_due = time.monotonic() + _LOGS_EVERY

    def _take_down(self) -> None:
        """Workers first, while the server can still take back what they hand back; the server last."""
        grace = self._settings.soft_shutdown_seconds + 15
        groups: list[tuple[float, list[Child]]] = [
            (grace, [child for child in self._children if child.name.startswith("worker-")]),
            (5.0, [child for child in self._children if child.name == "flower"]),
            (30.0, [child for child in self._children if child.name in _KEEPERS]),
        ]
        for seconds, children in groups:
            for child in children:
                child.ask_to_stop()
            deadline = time.monotonic() + seconds
            for child in children:
                # Even in a hurry these are given the moment they need to write their files.
                hurry = (lambda: False) if child.name in _KEEPERS else self._hurried.is_set
                child.end(max(0.0, deadline - time.monotonic()), hurry)


def _celery() -> list[str]:
    # -P: a file in the working directory is never taken for a module.
    return [sys.executable, "-P", "-m", "celery", "-A", "packhouse.worker.app"]


def _answers(redis: Redis) -> bool:
    try:
        return bool(redis.ping())
    except RedisError:  # not listening yet, or still loading its file
        return False


def _heard_of(redis: Redis, keys: Keys) -> set[str]:
    """Names of the workers whose heartbeat is there."""
    found = [str(key) for key in redis.scan_iter(match=_escaped(f"{keys.prefix}worker:") + "*", count=1000)]
    return {str(name) for name in redis.mget(found)} if found else set()


def _forget(redis: Redis, keys: Keys, names: set[str]) -> None:
    """Remove heartbeats that workers of these names left when the stack was killed."""
    for key in redis.scan_iter(match=_escaped(f"{keys.prefix}worker:") + "*", count=1000):
        if redis.get(key) in names:
            redis.delete(key)


def _escaped(prefix: str) -> str:
    return "".join(f"\\{character}" if character in "*?[]\\" else character for character in prefix)


def _healthy(url: str) -> bool:
    host, _, port = url.removeprefix("http://").partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=2)
    try:
        connection.request("GET", "/healthcheck")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
