"""Several hosts on one machine: namespaces of Linux with their own network, name, mounts and process ids.

A switch joins them, itself a network namespace, in which the server listens; nothing of it is on the machine's own
network. The test speaks with the server by a Unix socket.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import psutil
from redis import Redis
from redis.exceptions import RedisError
from support.engines import engine, publishing
from support.farm import Farm, quick, wait_for
from support.server import server_binary

from packhouse.schemas.keys import DEFAULT_NAMESPACE

ENGINES_VIEW: Final = "/srv/olive"
"""Where engines have the storage that all hosts share."""

_NETWORK: Final = "10.83.0"
_PORT: Final = 6379


def why_not() -> str | None:
    """Why no hosts can be made here; None where they can."""
    if os.geteuid() != 0:
        return "making hosts takes root"
    if missing := [name for name in ("ip", "unshare", "nsenter", "mount") if shutil.which(name) is None]:
        return f"making hosts takes {' and '.join(missing)}"
    trial = [*_UNSHARE, "sh", "-c", "hostname trial && mount -t tmpfs none /mnt && ip link add trial type bridge"]
    tried = subprocess.run(trial, capture_output=True, text=True, check=False)
    return f"this machine makes no namespaces: {tried.stderr.strip()}" if tried.returncode else None


_UNSHARE: Final = ("unshare", "--net", "--uts", "--mount", "--pid", "--fork", "--mount-proc")


class Namespaces:
    """What makes a process's machine another one, kept by a process that does nothing else."""

    def __init__(self, hostname: str, setup: Sequence[Sequence[str]] = ()) -> None:
        self.hostname = hostname
        commands = " && ".join(" ".join(command) for command in [["hostname", hostname], *setup])
        # It ends with its input: nothing is left behind where a test is killed.
        self._keeper = subprocess.Popen(
            [*_UNSHARE, "sh", "-c", f"{commands} && echo made && exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._keeper.stdout is not None
        assert self._keeper.stdout.readline() == b"made\n", f"{hostname} could not be made"

    @property
    def init(self) -> str:
        """The first process in it, by this machine's ids."""
        return str(psutil.Process(self._keeper.pid).children()[0].pid)

    @property
    def enter(self) -> list[str]:
        """Words before a command that run it there."""
        return ["nsenter", "--target", self.init, "--net", "--uts", "--mount", "--pid", "--"]

    def run(self, *command: str) -> str:
        """Run a command there to its end; returns what it wrote."""
        return subprocess.run([*self.enter, *command], check=True, capture_output=True, text=True).stdout

    def ip(self, *arguments: str) -> None:
        """Change its network."""
        # Of the namespaces only that of the network: others are named to ``ip`` by process ids of this machine.
        subprocess.run(["nsenter", "--target", self.init, "--net", "--", "ip", *arguments], check=True)

    def end(self) -> None:
        """All processes in it end with it, and its interfaces and mounts."""
        self._keeper.communicate(timeout=20)


class Switch:
    """A network of its own with a real server on it."""

    def __init__(self, folder: Path) -> None:
        self.storage = folder / "shared"
        self.storage.mkdir()
        self._folder = folder
        # The path of a Unix socket has at most 107 characters: not below the test's folder.
        self._near = Path(tempfile.mkdtemp(prefix="packhouse-"))
        self.address = f"redis://{_NETWORK}.1:{_PORT}/0"
        """The server, as hosts reach it."""
        self.hosts: list[Host] = []
        self.spaces = Namespaces("switch")
        self.spaces.ip("link", "add", "bridge", "type", "bridge")
        self.spaces.ip("address", "add", f"{_NETWORK}.1/24", "dev", "bridge")
        self.spaces.ip("link", "set", "bridge", "up")
        options = {
            "bind": f"{_NETWORK}.1",
            "port": str(_PORT),
            "unixsocket": f"{self._near}/redis",
            "protected-mode": "no",
            "dir": str(folder),
            "appendonly": "yes",
            "save": "",
        }
        command = [*self.spaces.enter, str(server_binary())]
        for name, text in options.items():
            command += [f"--{name}", text]
        with (folder / "server.log").open("wb") as log:
            self._server = subprocess.Popen(command, stdout=log, stderr=log)
        wait_for(self._answers, seconds=20, what="the server")

    def _answers(self) -> bool:
        with self.client() as client:
            try:
                return bool(client.ping())
            except RedisError:
                return False

    def client(self) -> Redis:
        """The test's own way to the server, which is on no network of this machine."""
        return Redis(unix_socket_path=f"{self._near}/redis", decode_responses=True)

    def host(self, mount: str, *, hostname: str = "") -> Host:
        """Another host, which has the shared storage at a path of its own."""
        self.hosts.append(Host(self, len(self.hosts) + 2, mount, hostname))
        return self.hosts[-1]

    def end(self) -> None:
        """The hosts lose power, and the server and the network are gone."""
        for host in self.hosts:
            host.end()
        self.spaces.end()
        self._server.wait(20)
        shutil.rmtree(self._near)


class Host:
    """A machine with an address and a mount of the shared storage; its workers are its ``farm``'s."""

    def __init__(self, switch: Switch, number: int, mount: str, hostname: str) -> None:
        self._cable = f"cable{number}"
        self._switch = switch
        self.name = f"host-{number - 1}"
        self.mount = mount
        folder = switch.storage.parent / self.name
        folder.mkdir()
        self.spaces = Namespaces(
            hostname or self.name,
            [
                ["mount", "-t", "tmpfs", "none", str(Path(mount).parent)],
                ["mkdir", mount],
                ["mount", "--bind", str(switch.storage), mount],
            ],
        )
        switch.spaces.ip(
            *("link", "add", self._cable, "type", "veth", "peer", "name", "eth0", "netns", self.spaces.init)
        )
        switch.spaces.ip("link", "set", self._cable, "master", "bridge")
        self.plug_in()
        self.spaces.ip("link", "set", "lo", "up")
        self.spaces.ip("address", "add", f"{_NETWORK}.{number}/24", "dev", "eth0")
        self.spaces.ip("link", "set", "eth0", "up")
        settings = quick(switch.address, DEFAULT_NAMESPACE, switch.storage)
        self.farm = Farm(
            settings, folder, site=self.name, prefix=self.spaces.enter, wrapped=True, client=switch.client()
        )
        self.farm.extra = {
            "PACKHOUSE_ROOTS": mount,
            "PACKHOUSE_PATH_MAPS": f"{ENGINES_VIEW}={mount}",
            "PACKHOUSE_RUN_DIR": str(folder / "run"),
        }

    def plug_in(self) -> None:
        """The host is on the network."""
        self._switch.spaces.ip("link", "set", self._cable, "up")

    def pull_out(self) -> None:
        """Nothing reaches the host any more, and it reaches nobody."""
        self._switch.spaces.ip("link", "set", self._cable, "down")

    def publish(self, *numbers: int) -> None:
        """An engine on this host publishes a run for each number."""
        address, output = self._switch.address, f"{self.mount}/output_dir"
        process = engine(address, output, *map(str, numbers), enter=self.spaces.enter)
        process.communicate(timeout=120)
        assert process.returncode == 0

    def publishing(self, first: int, pause: float) -> AbstractContextManager[list[int]]:
        """An engine on this host publishes one run after the other within. Gives the numbers, complete at the end."""
        address, output = self._switch.address, f"{self.mount}/output_dir"
        return publishing(address, output, first=first, pause=pause, enter=self.spaces.enter)

    def end(self) -> None:
        """The host loses power."""
        self.spaces.end()
        self.farm.close()
