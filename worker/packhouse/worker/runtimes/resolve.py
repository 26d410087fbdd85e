"""The wheels that a set of packages needs on a target, found from their own metadata.

pip cannot be asked for that: for another platform it downloads well, and evaluates conditions such as
``sys_platform == "win32"`` as they are on the machine that it runs on (pypa/pip#11664).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from packhouse.worker.runtimes.cache import Beat
from packhouse.worker.runtimes.failures import Absent
from packhouse.worker.runtimes.fetched import Fetched
from packhouse.worker.runtimes.store import Origin, RuntimeStore
from packhouse.worker.runtimes.table import ALSO_NEEDED
from packhouse.worker.runtimes.target import Target

_MOST: Final = 200
"""Wheels that may be looked at before it is taken that there is no end."""


@dataclass(frozen=True)
class Wheel:
    """A wheel in the cache, and whether it is there because another one needs it."""

    fetched: Fetched
    origin: Origin
    dependency: bool


@dataclass(frozen=True)
class _Demand:
    specifier: SpecifierSet
    extras: frozenset[str]


def with_dependencies(roots: Sequence[Fetched], target: Target, store: RuntimeStore, beat: Beat) -> list[Wheel]:
    """The wheels that the roots need, themselves left out, by name: each the newest that all demands on it allow.

    A demand that shows up late replaces the wheel that does not meet it; there is no going back further, so what could
    be solved by an older version of the demanding wheel is not. Raises ``Absent``, naming what is missing, and
    ``Outage``.
    """
    chosen: dict[str, tuple[Fetched, Origin | None]] = {root.name: (root, None) for root in roots}
    fixed = {root.name for root in roots}
    for _ in range(_MOST):
        demands = _demands(sorted(fixed), chosen, target)
        unmet = next((name for name in sorted(demands) if not _met(chosen.get(name), demands[name])), None)
        if unmet is None:
            return [
                Wheel(fetched, origin, dependency=True)
                for name, (fetched, origin) in sorted(chosen.items())
                if name in demands and origin is not None
            ]
        wanted = str(demands[unmet].specifier)
        if unmet in fixed:
            raise Absent(f"The packages do not go together: one needs {unmet}{wanted}.")
        try:
            chosen[unmet] = store.wheel(unmet, wanted, target, beat)
        except Absent as absent:
            raise Absent(f"They need {unmet}{wanted}. {absent.reason}") from absent
    raise Absent(f"More than {_MOST} wheels were looked at without an end.")


def _demands(
    roots: Sequence[str], chosen: dict[str, tuple[Fetched, Origin | None]], target: Target
) -> dict[str, _Demand]:
    """What is asked of each distribution that can be reached from the roots through what was chosen so far."""
    demands = {root: _Demand(SpecifierSet(), frozenset()) for root in roots}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [(root, demands[root].extras) for root in roots]
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen or name not in chosen:
            continue
        seen.add((name, extras))
        for requirement in _requirements(chosen[name][0]):
            if not target.applies(requirement.marker, extras):
                continue
            needed = str(canonicalize_name(requirement.name))
            before = demands.get(needed, _Demand(SpecifierSet(), frozenset()))
            demand = _Demand(before.specifier & requirement.specifier, before.extras | requirement.extras)
            demands[needed] = demand
            waiting.append((needed, demand.extras))
    return demands


def _requirements(fetched: Fetched) -> list[Requirement]:
    more = [text for below, text in ALSO_NEEDED.get(fetched.name, ()) if Version(fetched.version) < Version(below)]
    return [Requirement(text) for text in (*fetched.requires, *more)]


def _met(chosen: tuple[Fetched, Origin | None] | None, demand: _Demand) -> bool:
    return chosen is not None and demand.specifier.contains(chosen[0].version, prereleases=True)
