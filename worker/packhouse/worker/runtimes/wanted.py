"""Which runtime packages a run needs, and which of them the engine said it had: pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from packhouse.schemas.events import Package
from packhouse.schemas.files import Unavailable
from packhouse.worker.runtimes.table import BUILDS, EXTENSIONS, GENERATIVE


@dataclass(frozen=True)
class Wanted:
    """A distribution in the version that the engine reported for it."""

    name: str
    """From the table, never from the event."""
    version: Version


@dataclass
class RuntimeSet:
    """Packages that are installed into one environment: a build of ONNX Runtime and what belongs to it."""

    name: str
    """Of the build."""
    providers: list[str]
    """Execution providers of the candidates that it is for."""
    packages: list[Wanted] = field(default_factory=list)


@dataclass(frozen=True)
class Needs:
    """What is to be fetched, and what cannot be for want of a version or a package."""

    sets: list[RuntimeSet]
    unavailable: list[Unavailable]


def needs(reported: Iterable[Package], providers: Sequence[str], *, generative: bool, extensions: bool) -> Needs:
    """The packages for these execution providers, one set for each build of ONNX Runtime.

    Of the builds that have a provider, the first that the engine reported is meant: an engine that had
    ``onnxruntime-gpu`` alone measured its CPU candidates with that one too.
    """
    versions = _Reported(reported)
    sets: dict[str, RuntimeSet] = {}
    for provider in dict.fromkeys(providers):
        builds = BUILDS.get(provider)
        if builds is None:
            versions.unavailable.append(
                Unavailable(what=f"a runtime for {provider}", reason="No package that has it is known.")
            )
            continue
        build = next((name for name in builds if name in versions), builds[0])
        sets.setdefault(build, RuntimeSet(build, [])).providers.append(provider)
    for each in sets.values():
        versions.add_to(each, each.name)
        if generative and each.name in GENERATIVE:
            versions.add_to(each, GENERATIVE[each.name])
        elif generative:
            versions.unavailable.append(
                Unavailable(
                    what=f"a runtime for generative models beside {each.name}",
                    reason="No package that has it is known.",
                )
            )
        if extensions:
            versions.add_to(each, EXTENSIONS)
    return Needs(
        [each for each in sorted(sets.values(), key=lambda one: one.name) if each.packages],
        list({entry.what: entry for entry in versions.unavailable}.values()),
    )


class _Reported:
    """What the engine reported, by canonical name."""

    def __init__(self, packages: Iterable[Package]) -> None:
        self._texts: dict[str, set[str]] = {}
        for package in packages:
            self._texts.setdefault(canonicalize_name(package.name), set()).add(package.version)
        self.unavailable: list[Unavailable] = []

    def __contains__(self, name: str) -> bool:
        return name in self._texts

    def add_to(self, to: RuntimeSet, name: str) -> None:
        """Put a package into a set, or tell why it cannot be there."""
        texts = sorted(self._texts.get(name, ()))
        if not texts:
            reason = "The engine reported no version of it; --runtime or --detect-runtimes does."
        elif len(texts) > 1:
            reason = f"The engine reported several versions of it: {', '.join(texts)}."
        else:
            try:
                to.packages.append(Wanted(name, Version(texts[0])))
            except InvalidVersion:
                reason = f"The engine reported {texts[0]!r}, which is no version of a Python package."
            else:
                return
        self.unavailable.append(Unavailable(what=name, reason=reason))
