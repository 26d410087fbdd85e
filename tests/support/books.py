"""The check of the books: what was promised against what is there, after whatever has happened in between."""

from __future__ import annotations

import hashlib
import json
import subprocess
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from redis import Redis
from support.processes import processes_in

from packhouse.schemas import STATUS_EVENT, CompletedEvent, PackageResult, RejectedEvent, RunFinished, run_key
from packhouse.schemas.keys import FIELD, Keys
from packhouse.schemas.status import (
    FinalEvent,
    PackageFailedEvent,
    PackageStartedEvent,
    PackageSucceededEvent,
)
from packhouse.worker.packagers.registry import QUEUES

_WORK_KEYS = ("leased", "leased:*", "delayed", "waiting:*", "destination:*", "claim:*")
"""Keys of the ledger that only open work has."""
_CHUNK = 1 << 20


@dataclass
class Findings:
    """What is wrong, a sentence each; nothing, where all is well."""

    lost: list[str] = field(default_factory=list)
    """Promised, and without an end."""
    doubled: list[str] = field(default_factory=list)
    """Ended more than once."""
    half_written: list[str] = field(default_factory=list)
    """Claimed, and not there as claimed."""
    leaked: list[str] = field(default_factory=list)
    """Left behind by work that has ended."""
    disagreeing: list[str] = field(default_factory=list)
    """The ledger and the streams tell different stories."""
    ended: list[str] = field(default_factory=list)
    """Workers that nobody has ended."""

    def __bool__(self) -> bool:
        return any(getattr(self, one.name) for one in fields(self))

    def __str__(self) -> str:
        return "\n".join(f"{one.name}: {text}" for one in fields(self) for text in getattr(self, one.name))


class Books:
    """A namespace on a server, read once all work in it has ended."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        """``redis`` answers in text."""
        self._redis = redis
        self._keys = keys
        entries: Any = redis.xrange(keys.status)
        self.events = [(int(entry.partition("-")[0]), STATUS_EVENT.validate_json(one[FIELD])) for entry, one in entries]
        """Of the status stream: milliseconds by the server's clock, and the event."""

    def check(
        self,
        promised: Sequence[RunFinished],
        *,
        folders: Sequence[Path] = (),
        scratch: Path | None = None,
        may_fail: Iterable[str] = (),
    ) -> Findings:
        """Check everything of the events that ``publish`` returned from.

        ``folders`` are those that packages were written to, ``scratch`` that of trials, ``may_fail`` the ids of runs
        whose packages need not succeed.
        """
        found = Findings()
        self._ends(promised, set(may_fail), found)
        self._results(found)
        for package in self.packages():
            found.half_written += package_faults(package)
        found.leaked += leftovers(folders, scratch)
        found.leaked += self._work_left()
        found.disagreeing += self._disagreements()
        return found

    @property
    def finals(self) -> list[FinalEvent]:
        """Every final event on the stream, doubled ones doubly."""
        return [event for _, event in self.events if isinstance(event, CompletedEvent | RejectedEvent)]

    @property
    def executions(self) -> int:
        """How often work on a package began."""
        return sum(isinstance(event, PackageStartedEvent) for _, event in self.events)

    def packages(self) -> Iterator[PackageResult]:
        """Every package that is claimed to be there."""
        for final in self.finals:
            if isinstance(final, CompletedEvent):
                yield from (one for one in final.data.packages if one.state == "succeeded" and one.path)

    def _ends(self, promised: Sequence[RunFinished], may_fail: set[str], found: Findings) -> None:
        of_run: dict[str, list[FinalEvent]] = {}
        for final in self.finals:
            of_run.setdefault(f"{final.source} {final.subject}", []).append(final)
        for run, finals in of_run.items():
            if len(finals) > 1:
                found.doubled.append(f"{run} has {len(finals)} final events")
        for event in {f"{event.source} {event.subject}": event for event in promised}.items():
            name, run = event
            kept = self._redis.get(self._keys.final(run.run))
            on_stream = of_run.get(name, [])
            if kept is None or not on_stream:
                found.lost.append(f"{name}: {len(on_stream)} final events on the stream, key {bool(kept)}")
                continue
            if STATUS_EVENT.validate_json(str(kept)) != on_stream[-1]:
                found.disagreeing.append(f"{name}: the key's final event is not the stream's")
            end = on_stream[-1]
            if run.subject not in may_fail and not _all_succeeded(end, run):
                found.lost.append(f"{name} ended as {end.model_dump_json(exclude_none=True)[:2000]}")

    def _results(self, found: Findings) -> None:
        ends = Counter(
            (event.source, event.subject, event.data.name, event.data.type)
            for _, event in self.events
            if isinstance(event, PackageSucceededEvent | PackageFailedEvent)
        )
        found.doubled += [
            f"package {' '.join(which)} has {count} results" for which, count in ends.items() if count > 1
        ]

    def _work_left(self) -> Iterator[str]:
        prefix = self._keys.prefix
        for pattern in _WORK_KEYS:
            yield from (f"key {key}" for key in self._redis.scan_iter(f"{prefix}{pattern}", count=1000))
        for queue in QUEUES:
            if count := self._redis.xlen(f"{prefix}open:{queue}"):
                yield f"{count} open jobs of queue {queue}"
        if count := self._redis.xlen(self._keys.run_queue):
            yield f"{count} events in the run queue"

    def _disagreements(self) -> Iterator[str]:
        counts: Any = self._redis.hgetall(f"{self._keys.prefix}counts")
        # An event that was rejected before it became a run has no content digest.
        ends = [one for one in self.finals if isinstance(one, CompletedEvent) or one.data.content_digest]
        told = Counter(f"runs:{one.data.state if isinstance(one, CompletedEvent) else 'rejected'}" for one in ends)
        told.update(
            f"packages:{event.data.type}:{event.data.state}"
            for _, event in self.events
            if isinstance(event, PackageSucceededEvent | PackageFailedEvent)
        )
        told["runs:opened"] = len({(event.source, event.subject) for event in ends})
        for what in sorted({*told, *(one for one in counts if one.startswith(("runs:", "packages:")))}):
            if int(counts.get(what, 0)) != told[what]:
                yield f"{what} is {counts.get(what, 0)} in the ledger, {told[what]} on the stream"
        for key in self._redis.scan_iter(f"{self._keys.prefix}run:*", count=1000):
            state = self._redis.hget(key, "state")
            if state not in {"final", "rejected"}:
                yield f"{key} is {state}"


def _all_succeeded(end: FinalEvent, run: RunFinished) -> bool:
    if not isinstance(end, CompletedEvent) or end.data.state != "succeeded":
        return False
    return len(end.data.packages) == len(run.data.packaging_config)


def package_faults(package: PackageResult) -> Iterator[str]:
    """What of a ZIP is not as its status says."""
    archive = Path(str(package.path))
    if not archive.is_file():
        yield f"{archive} is not there"
        return
    if archive.stat().st_size != package.bytes:
        yield f"{archive} has {archive.stat().st_size} bytes, not {package.bytes}"
    if subprocess.run(["unzip", "-tqq", str(archive)], capture_output=True, check=False).returncode:
        yield f"{archive} is no sound ZIP"
        return
    with zipfile.ZipFile(archive) as opened:
        manifest = opened.read("manifest.json")
        if f"sha256:{hashlib.sha256(manifest).hexdigest()}" != package.digest:
            yield f"{archive} has not the digest {package.digest}"
        listed = json.loads(manifest)["files"]
        if {one["path"] for one in listed} | {"manifest.json"} != set(opened.namelist()):
            yield f"{archive} holds other files than it lists"
            return
        for one in listed:
            with opened.open(one["path"]) as file:
                digest = hashlib.sha256()
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
            if digest.hexdigest() != one["sha256"]:
                yield f"{one['path']} in {archive} is not as it is listed"


def leftovers(folders: Sequence[Path], scratch: Path | None = None) -> Iterator[str]:
    """What is left below the folders that nobody asked for: unfinished files, folders of trials, processes."""
    for folder in folders:
        yield from (f"unfinished file {path}" for path in folder.rglob(".*.partial"))
    if scratch is not None:
        yield from (f"scratch {path}" for path in scratch.iterdir())


def still_there(redis: Redis, folder: Path) -> Iterator[str]:
    """Processes that work below the folder, and connections to the server other than the one given, after the end."""
    yield from (f"process {one}" for one in processes_in(folder))
    own = redis.client_id()
    clients: Any = redis.client_list()
    yield from (f"connection {one['addr']} {one['cmd']}" for one in clients if int(one["id"]) != own)


def record_of(redis: Redis, keys: Keys, event: RunFinished) -> dict[str, str]:
    """The ledger's record of a run."""
    found: Any = redis.hgetall(f"{keys.prefix}run:{run_key(event.run)}")
    return found
