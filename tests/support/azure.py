"""The stand-in for Azure as tests use it: real processes, the unmodified SDK, faults at will."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from support.farm import wait_for

from packhouse.local import tether
from packhouse.local.azure import azurite
from packhouse.local.azure.environment import azure_environment, without_azure
from packhouse.local.azure.identity import DATASTORE, Identity
from packhouse.local.azure.place import Place
from packhouse.local.azure.processes import programs
from packhouse.local.azure.remote import Remote
from packhouse.local.azure.standin.faults import Fault
from packhouse.local.azure.standin.log import Record


@dataclass(frozen=True)
class SwitchedOn:
    """A fault that is switched on; a context manager that switches it off."""

    remote: Remote
    number: int

    @property
    def struck(self) -> int:
        """How many requests it has harmed."""
        return self.remote.struck(self.number)

    def wait_struck(self, times: int = 1, *, seconds: float = 60) -> None:
        wait_for(lambda: self.struck >= times, seconds=seconds, what="the fault to strike")

    def off(self) -> None:
        """Switch it off; requests that it delays go on."""
        self.remote.remove(self.number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.off()


@dataclass(frozen=True)
class SwitchBoard:
    """Switches faults on: ``azure.faults.on(method="PUT", path="comp=block&", status=503, retry_after=1, times=2)``."""

    remote: Remote

    def on(self, **fault: Any) -> SwitchedOn:
        """The fields are those of ``Fault``; without ``times`` it strikes once."""
        return SwitchedOn(self.remote, self.remote.add(Fault(**fault)))

    def clear(self) -> None:
        self.remote.remove()


class AzureStandIn:
    """Sign-in, two workspaces and two storage accounts; the first of each is the default, the second for others."""

    def __init__(self, folder: Path, ports: tuple[int, int]) -> None:
        self.folder = folder
        self.port, self.azurite_port = ports
        self.place = Place(folder / "azure")
        self.remote = Remote(self.port)
        self.faults = SwitchBoard(self.remote)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._mark = 0

    def start(self) -> None:
        """Start it, and wait until it answers. A second start goes on with what the first one kept."""
        self._mark = 0  # the numbers of requests begin anew with it
        self._programs = programs(self.place, azurite.install(print), self.port, self.azurite_port)
        self.identity = Identity.kept_in(self.place.identity)
        self.subscription = self.identity.subscription
        self.resource_group = self.identity.resource_group
        self.datastore = DATASTORE
        first, second = self.identity.workspaces
        self.workspace, self.account, self.container = first.name, first.account, first.container
        self.other_workspace, self.other_account, self.other_container = second.name, second.account, second.container
        self.environment = azure_environment(self.place, self.port)
        """For processes and, by the fixture ``azure_here``, for the test's own."""
        for program in self._programs:
            with (self.folder / f"{program.name}.log").open("ab") as log:
                self._processes.append(
                    subprocess.Popen(
                        # They end with the tests, however these end.
                        [sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), *program.command],
                        stdout=log,
                        stderr=log,
                        stdin=subprocess.DEVNULL,
                        cwd=self.folder,
                        env={**without_azure(os.environ), **program.environment},
                    )
                )
        wait_for(self._ready, what=f"the stand-in, whose logs are in {self.folder}")

    def _ready(self) -> bool:
        for program, process in zip(self._programs, self._processes, strict=True):
            log = self.folder / f"{program.name}.log"
            assert process.poll() is None, f"{program.name} ended:\n{log.read_text()[-4000:]}"
        return self.remote.ready()

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
        self._processes.clear()

    def reset(self) -> None:
        """Nothing registered, nothing stored, no faults, an empty log."""
        self.faults.clear()
        self.remote.datastores()
        self.remote.clear()
        self.forget_requests()

    def forget_requests(self) -> None:
        """Begin the log anew."""
        self._mark = max((record.number for record in self.remote.requests(self._mark)), default=self._mark)

    @property
    def requests(self) -> list[Record]:
        """The requests since the test began, oldest first.

        An answer may reach its reader before the stand-in has counted it: what is under way now is waited for, other
        than what a fault holds up.
        """
        latest = max((record.number for record in self.remote.requests(self._mark)), default=self._mark)

        def counted() -> bool:
            records = [one for one in self.remote.requests(self._mark) if one.number <= latest]
            return all(one.done or one.fault is not None for one in records)

        wait_for(counted, seconds=20, what="the requests to be counted")
        return self.remote.requests(self._mark)

    def sent_to_blobs(self, path: str = "") -> int:
        """Bytes of the bodies of requests to blob storage whose path holds ``path``."""
        return sum(one.request_bytes for one in self.requests if ".blob." in one.host and path in one.path)

    @property
    def blob_url(self) -> str:
        """Address of the default datastore's container."""
        return f"https://{self.account}.blob.core.windows.net/{self.container}"
