"""Runtime packages by name and version: from the cache, or fetched into it, once for all who want the same."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

from pydantic import ValidationError

from packhouse.schemas.base import Document
from packhouse.schemas.errors import ErrorCode, PackhouseError, PermanentError, TransientError
from packhouse.worker.metrics.recorder import recorder
from packhouse.worker.package.tree import CachedFile
from packhouse.worker.runtimes.archives import nupkg_facts, wheel_facts
from packhouse.worker.runtimes.cache import ABSENT_SECONDS, OUTAGE_SECONDS, Beat, Cache
from packhouse.worker.runtimes.failures import Absent, NotHad, Outage
from packhouse.worker.runtimes.fetched import Fetched
from packhouse.worker.runtimes.http import Web
from packhouse.worker.runtimes.nuget import Feed, Folder
from packhouse.worker.runtimes.pip import Pip
from packhouse.worker.runtimes.target import Target
from packhouse.worker.settings import Settings
from packhouse.worker.storage.cache_folder import cache_folder
from packhouse.worker.storage.readable import Readable

FLOATING_SECONDS: Final = 86400.0
"""How long the newest version of a dependency is taken for the newest."""
_FIX: Final = (
    "Check the worker's settings of runtime packages (PACKHOUSE_RUNTIME_SOURCE, pip's index, PACKHOUSE_NUGET_INDEX)."
)


class Origin(Document):
    """What a cached file is, on whatever worker: enough to fetch it again."""

    kind: Literal["python", "nuget"]
    name: str
    wanted: str
    """Of a wheel, a version specifier; of a NuGet package, a version in normal form."""
    platform: str = ""
    python: str = ""

    @property
    def pinned(self) -> bool:
        """Whether only one version will do."""
        return self.kind == "nuget" or (self.wanted.startswith("==") and "*" not in self.wanted)

    def exactly(self, fetched: Fetched) -> Origin:
        """The origin of that very version."""
        return self if self.kind == "nuget" else self.model_copy(update={"wanted": f"=={fetched.version}"})


class RuntimeStore:
    """The runtime packages that this worker can get. Made once for a process; nothing is touched before it is used."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._in_use: set[str] = set()

    @property
    def settings(self) -> Settings:
        """What decides where packages come from and for which targets."""
        return self._settings

    @property
    def targets(self) -> list[Target]:
        """The targets that wheels are wanted for, in the order of the settings."""
        settings = self._settings
        pairs = ((platform, python) for platform in settings.runtime_platforms for python in settings.runtime_pythons)
        return [Target(platform, python) for platform, python in dict.fromkeys(pairs)]

    def begin(self) -> None:
        """Another package is made now: what the one before it used may leave the cache."""
        self._in_use.clear()

    def wheel(self, name: str, wanted: str, target: Target, beat: Beat) -> tuple[Fetched, Origin]:
        """The best wheel of a distribution whose version fits a specifier. Raises ``Absent`` and ``Outage``."""
        origin = Origin(kind="python", name=name, wanted=wanted, platform=target.platform, python=target.python)
        fetched = self._had(origin, beat)
        return fetched, origin.exactly(fetched)

    def nupkg(self, nuget_id: str, version: str, beat: Beat) -> tuple[Fetched, Origin]:
        """A NuGet package of a version in normal form. Raises ``Absent`` and ``Outage``."""
        origin = Origin(kind="nuget", name=nuget_id, wanted=version)
        return self._had(origin, beat), origin

    def open(self, file: CachedFile, beat: Beat = lambda _: None) -> Readable:
        """A planned file, open for reading, its digest just checked: fetched again where the cache has it no more.

        Raises ``PermanentError`` (``runtime_unavailable``) where it cannot be had any more or has become another one,
        and ``TransientError`` where whoever has it does not answer.
        """
        try:
            return self._opened(file, beat)
        except Outage as outage:
            raise _lost(TransientError, file, outage.reason) from outage
        except NotHad as absent:
            raise _lost(PermanentError, file, absent.reason) from absent

    def _opened(self, file: CachedFile, beat: Beat) -> Readable:
        try:
            origin = Origin.model_validate_json(file.origin)
        except ValidationError:
            raise Absent("The plan does not say what it is.") from None
        with _of_disk():
            opened = self._cache.open(file.sha256, file.size, beat)
            if opened is None:
                fetched = self._had(origin, beat)
                if (fetched.sha256, fetched.size) != (file.sha256, file.size):
                    raise Absent("What is there now is another file than the one that was planned.")
                opened = self._cache.open(file.sha256, file.size, beat)
            if opened is None:
                raise Outage("It left the worker's cache as soon as it was there.")
        self._in_use.add(file.sha256)
        return opened

    def _had(self, origin: Origin, beat: Beat) -> Fetched:
        """What there is for an origin, in the cache from now on."""
        within, key = None if origin.pinned else FLOATING_SECONDS, self._key(origin)
        with _of_disk():
            fetched = self._cache.recall(key, beat, within=within)
            recorder().cache("runtimes", hit=fetched is not None)
            if fetched is None:
                with self._cache.lock(key, beat, self._settings.runtime_seconds):
                    fetched = self._cache.recall(key, beat, within=within) or self._fetch(origin, beat)
            self._in_use.add(fetched.sha256)
            return fetched

    def _fetch(self, origin: Origin, beat: Beat) -> Fetched:
        settings, cache, key, place = self._settings, self._cache, self._key(origin), self._place(origin)
        if settings.runtime_source == "off":
            raise Absent("PACKHOUSE_RUNTIME_SOURCE is off.")
        if origin.kind == "nuget" and settings.runtime_source == "index" and not settings.nuget_index:
            raise Absent("PACKHOUSE_NUGET_INDEX is not set.")
        if (reason := cache.absent(key, ABSENT_SECONDS)) is not None:
            raise Absent(reason)
        if (reason := cache.absent(place, OUTAGE_SECONDS)) is not None:
            raise Outage(reason)
        try:
            with cache.workspace() as folder:
                path, fetched = self._downloaded(origin, folder, beat)
                cache.keep(path, fetched)
        except Absent as absent:
            cache.remember(key, None, absent.reason)
            raise
        except Outage as outage:
            cache.remember(place, None, outage.reason)
            raise
        for each in dict.fromkeys((key, self._key(origin.exactly(fetched)))):
            cache.remember(each, fetched)
        self._in_use.add(fetched.sha256)
        cache.trim(self._in_use)
        return fetched

    def _downloaded(self, origin: Origin, folder: Path, beat: Beat) -> tuple[Path, Fetched]:
        if origin.kind == "python":
            target = Target(origin.platform, origin.python)
            path = self._pip.download(origin.name + origin.wanted, target, folder, beat)
            return path, wheel_facts(path, origin.name, beat)
        path = self._nuget.download(origin.name, origin.wanted, folder, beat)
        return path, nupkg_facts(path, origin.name, origin.wanted, beat)

    def _place(self, origin: Origin) -> str:
        """Who is asked for it: one that does not answer is left alone for a while, whatever is asked for."""
        settings = self._settings
        if settings.runtime_source == "folder":
            return f"folder {settings.runtime_folder}"
        return f"nuget {settings.nuget_index}" if origin.kind == "nuget" else "pip"

    def _key(self, origin: Origin) -> str:
        """Under which it is found in the cache's index."""
        return f"{self._place(origin)} {origin.model_dump_json()}"

    @property
    def cache_folder(self) -> Path:
        """Where what was fetched is kept."""
        return cache_folder(self._settings.cache_dir)

    def reach_feed(self) -> None:
        """See whether the NuGet feed of the settings answers. Raises ``Absent`` and ``Outage``."""
        if isinstance(self._nuget, Feed):
            self._nuget.reach()

    @cached_property
    def _cache(self) -> Cache:
        return Cache(self.cache_folder / "runtimes", self._settings.cache_bytes)

    @cached_property
    def _pip(self) -> Pip:
        settings = self._settings
        folder = settings.runtime_folder if settings.runtime_source == "folder" else None
        return Pip(settings.runtime_seconds, settings.runtime_file_bytes, folder, self._environment)

    @cached_property
    def _environment(self) -> dict[str, str]:
        """The worker's own, with what the settings put over it."""
        told = dict(text.split("=", 1) for text in self._settings.fetch_environment)
        return {name: value for name, value in (os.environ | told).items() if value or name not in told}

    @cached_property
    def _nuget(self) -> Feed | Folder:
        settings = self._settings
        if settings.runtime_source == "folder":
            return Folder(settings.runtime_folder or "", settings.runtime_file_bytes)
        web = Web(
            settings.nuget_index or "", settings.nuget_hosts, settings.runtime_seconds, environment=self._environment
        )
        return Feed(web, settings.runtime_file_bytes)


@contextlib.contextmanager
def _of_disk() -> Generator[None, None, None]:
    """What the system says about the cache folder, as what it means for the package."""
    try:
        yield
    except OSError as error:
        raise Outage(f"The worker's cache folder cannot be used ({error.strerror or type(error).__name__}).") from error


def _lost(kind: type[PackhouseError], file: CachedFile, reason: str) -> PackhouseError:
    return kind(
        ErrorCode.RUNTIME_UNAVAILABLE,
        f"The runtime package {file.sha256[:12]} ({file.size} bytes) of the plan cannot be had any more. {reason}",
        fix=_FIX,
    )
