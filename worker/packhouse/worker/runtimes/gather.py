"""The folder ``ONNXRuntimePackages`` of a package: what is wanted is fetched, and what cannot be had is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from packhouse.schemas.errors import ErrorCode, PackhouseError, PermanentError, TransientError
from packhouse.schemas.events import FinishedRun
from packhouse.schemas.files import RUNTIME_LOCK, RUNTIME_PACKAGES, LockedFile, LockedTarget, RuntimeLock, Unavailable
from packhouse.worker.package.jsontext import json_bytes
from packhouse.worker.package.tree import CachedFile, Made
from packhouse.worker.runtimes.archives import nuget_version
from packhouse.worker.runtimes.failures import Absent, NotHad, Outage
from packhouse.worker.runtimes.fetched import Fetched
from packhouse.worker.runtimes.resolve import Wheel, with_dependencies
from packhouse.worker.runtimes.store import Origin, RuntimeStore
from packhouse.worker.runtimes.table import NUGET, NUGET_PARTS
from packhouse.worker.runtimes.target import Target
from packhouse.worker.runtimes.texts import NUGET as NUGET_FOLDER
from packhouse.worker.runtimes.texts import PYTHON, readme, requirements, requirements_name
from packhouse.worker.runtimes.wanted import RuntimeSet, Wanted, needs

STAGE = "runtime packages"
_MOST_NUGET = 200
"""Packages of one run, what they depend on included."""


class Progress(Protocol):
    """What of ``packagers.base.Progress`` is needed here."""

    def stage(self, name: str, total: int = 0) -> None:
        """A new stage begins."""
        ...

    def advance(self, count: int) -> None:
        """So many bytes more are done."""
        ...


@dataclass(frozen=True)
class Gathered:
    """The folder, by path in the package, and what is missing from it. Empty where runtime packages are off."""

    entries: dict[str, CachedFile | Made] = field(default_factory=dict)
    unavailable: list[Unavailable] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """For the status: one for each that is missing."""


def gather(
    event: FinishedRun,
    providers: Sequence[str],
    *,
    generative: bool,
    extensions: bool,
    store: RuntimeStore,
    progress: Progress,
) -> Gathered:
    """The runtime packages for candidates with these execution providers, in the versions that the engine reported.

    What cannot be had is told in the result. Where the settings make it a failure, raises ``PermanentError``
    (``runtime_unavailable``), or ``TransientError`` if whoever has it did not answer.
    """
    settings = store.settings
    if settings.runtime_source == "off" or not providers:
        return Gathered()
    progress.stage(STAGE)
    store.begin()
    wanted = needs(event.engine.runtime_packages, providers, generative=generative, extensions=extensions)
    gathering = _Gathering(store, progress)
    for entry in wanted.unavailable:
        gathering.lacks(entry.what, Absent(entry.reason))
    for each in wanted.sets:
        for target in store.targets:
            gathering.wheels(each, target)
        gathering.nugets(each)
    return gathering.result()


class _Gathering:
    """One folder being put together."""

    def __init__(self, store: RuntimeStore, progress: Progress) -> None:
        self._store = store
        self._progress = progress
        self._strict = store.settings.runtime_missing == "fail"
        self._complete = store.settings.runtime_dependencies
        self._entries: dict[str, CachedFile | Made] = {}
        self._locked: dict[str, LockedFile] = {}
        self._sets: dict[str, list[str]] = {}
        self._unavailable: dict[str, Unavailable] = {}

    def lacks(self, what: str, why: NotHad) -> None:
        """Something is missing. Raises where that is a failure."""
        if self._strict:
            kind: type[PackhouseError] = TransientError if isinstance(why, Outage) else PermanentError
            raise kind(
                ErrorCode.RUNTIME_UNAVAILABLE,
                f"The package needs {what}, which cannot be had. {why.reason}",
                fix="Make it available to the worker, or set PACKHOUSE_RUNTIME_MISSING=warn.",
            )
        self._unavailable.setdefault(what, Unavailable(what=what, reason=why.reason))

    def wheels(self, each: RuntimeSet, target: Target) -> None:
        """The wheels of a set of packages for a target, and its requirements file."""
        found: list[Wheel] = []
        for package in each.packages:
            try:
                found.append(Wheel(*self._wheel(package, target), dependency=False))
            except NotHad as why:
                self.lacks(f"{package.name} {package.version} for {target}", why)
        if not found:
            return
        if self._complete:
            try:
                roots = [wheel.fetched for wheel in found]
                found += with_dependencies(roots, target, self._store, self._progress.advance)
            except NotHad as why:
                self.lacks(f"what {each.name} needs, for {target}", why)
        for wheel in found:
            self._add(wheel.fetched, wheel.origin, each.providers, target=target, dependency=wheel.dependency)
        name = requirements_name(each.name, target)
        self._sets[name] = each.providers
        self._entries[f"{PYTHON}/{name}"] = Made(requirements(wheel.fetched for wheel in found))

    def nugets(self, each: RuntimeSet) -> None:
        """The NuGet packages of the same sources and versions, and what they are made of."""
        waiting: list[tuple[str, str, bool]] = []
        for package in each.packages:
            nuget_id, version = NUGET.get(package.name), package.version
            if nuget_id is None:
                self.lacks(f"a NuGet package of {package.name}", Absent("None is known."))
            elif str(version) != version.base_version or version.epoch:
                why = Absent("A version with a label of its own has no counterpart among NuGet packages.")
                self.lacks(f"{nuget_id} {version} (NuGet)", why)
            else:
                waiting.append((nuget_id, nuget_version(str(version)), False))
        asked = {nuget_id.lower() for nuget_id, _, _ in waiting}
        parts = {nuget_id.lower() for nuget_id in NUGET_PARTS}
        while waiting and len(asked) <= _MOST_NUGET:
            nuget_id, version, dependency = waiting.pop(0)
            try:
                fetched, origin = self._store.nupkg(nuget_id, version, self._progress.advance)
            except NotHad as why:
                self.lacks(f"{nuget_id} {version} (NuGet)", why)
                continue
            self._add(fetched, origin, each.providers, target=None, dependency=dependency)
            for needed_id, _, needed_version in (text.partition("/") for text in fetched.requires):
                low = needed_id.lower()
                if low not in asked and (self._complete or low in parts):
                    asked.add(low)
                    waiting.append((needed_id, needed_version, True))

    def result(self) -> Gathered:
        """The folder as it is now."""
        unavailable = sorted(self._unavailable.values(), key=lambda entry: entry.what)
        lock = RuntimeLock(files=[self._locked[name] for name in sorted(self._locked)], unavailable=unavailable)
        self._entries[RUNTIME_LOCK] = Made(json_bytes(lock))
        self._entries["README.md"] = Made(readme(lock, self._sets, complete=self._complete))
        return Gathered(
            {f"{RUNTIME_PACKAGES}/{path}": self._entries[path] for path in sorted(self._entries)},
            unavailable,
            [f"{entry.what}: {entry.reason}" for entry in unavailable],
        )

    def _wheel(self, package: Wanted, target: Target) -> tuple[Fetched, Origin]:
        return self._store.wheel(package.name, f"=={package.version}", target, self._progress.advance)

    def _add(
        self, fetched: Fetched, origin: Origin, providers: Sequence[str], *, target: Target | None, dependency: bool
    ) -> None:
        folder = PYTHON if target else NUGET_FOLDER
        path = f"{folder}/{fetched.file}"
        before = self._locked.get(path)
        targets = {(each.platform, each.python) for each in before.targets} if before else set[tuple[str, str]]()
        if target:
            targets.add((target.platform, target.python))
        self._locked[path] = LockedFile(
            kind="python" if target else "nuget",
            name=fetched.name,
            version=fetched.version,
            file=path,
            size=fetched.size,
            sha256=fetched.sha256,
            dependency=dependency and (before is None or before.dependency),
            targets=[LockedTarget(platform=platform, python=python) for platform, python in sorted(targets)],
            execution_providers=sorted({*providers, *(before.execution_providers if before else ())}),
        )
        if before is None:
            self._entries[path] = CachedFile(fetched.sha256, fetched.size, origin.model_dump_json())
