"""What an asset tells of where it comes from: tags to look for, properties to rely on.

Source of the limits: "Service limits in Azure Machine Learning" for tags and properties.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from packhouse.schemas.base import Digest
from packhouse.schemas.blob.failures import scrub as without_secrets
from packhouse.schemas.checks import Verdict
from packhouse.schemas.cloudevent import RunRef
from packhouse.schemas.events import Engine
from packhouse.schemas.ranking import Objective, RankedCandidate
from packhouse.schemas.text import visible

MOST_ENTRIES: Final = 50
LONGEST_KEY: Final = 100
LONGEST_VALUE: Final = 1000
LONGEST_DESCRIPTION: Final = 5000
"""Of an asset; all three in units of UTF-16."""

DIGEST: Final = "packhouse_digest"
PLAN: Final = "packhouse_plan"

_NOT_IN_KEYS: Final = re.compile(r"[^A-Za-z0-9_.-]")
_LINE: Final = re.compile(r"\r?\n")


def tags_of(
    run: RunRef,
    engine: Engine,
    objectives: Iterable[Objective],
    candidate: RankedCandidate,
    digest: Digest,
    verdict: Verdict,
) -> dict[str, str]:
    """The tags of a candidate's asset: run, engine, accelerator, rank, content digest, verdict, and its objectives."""
    pairs = [
        ("packhouse_run", run.id),
        ("packhouse_source", run.source),
        ("engine", engine.name),
        ("engine_version", engine.version),
        ("accelerator", str(candidate.accelerator)),
        ("rank", str(candidate.rank)),
        ("rank_in_accelerator", str(candidate.rank_in_accelerator)),
        ("model_id", candidate.model_id),
        (DIGEST, digest),
        ("packhouse_check", str(verdict.state)),
        *((f"metric_{objective.name}", _value(candidate, objective)) for objective in objectives),
    ]
    return within_limits(pairs)


def properties_of(digest: Digest, plan: str, packhouse: str) -> dict[str, str]:
    """The properties, which nobody can change once the asset is registered. ``plan`` names one package of one run."""
    return within_limits([(DIGEST, digest), (PLAN, plan), ("packhouse_version", packhouse)])


def within_limits(pairs: Iterable[tuple[str, str | None]]) -> dict[str, str]:
    """What the service takes: the first 50, keys of plain characters, keys and values cut to length.

    Signatures and keys of addresses are blotted out; what cannot be seen in a value is spelled out. Of two keys that
    become one, the first stays. Values that are missing or empty are left out.
    """
    taken: dict[str, str] = {}
    for key, value in pairs:
        name = _NOT_IN_KEYS.sub("_", without_secrets(key))[:LONGEST_KEY]
        if value and name not in taken and len(taken) < MOST_ENTRIES:
            taken[name] = _cut(visible(without_secrets(value)), LONGEST_VALUE)
    return taken


def describing(text: str | None) -> str | None:
    """A description as people read it: with its lines, and what cannot be seen spelled out."""
    return (
        None if text is None else _cut("\n".join(map(visible, _LINE.split(without_secrets(text)))), LONGEST_DESCRIPTION)
    )


def _cut(text: str, most: int) -> str:
    """The service counts units of UTF-16, of which a character may have two."""
    return text.encode("utf-16-le")[: 2 * most].decode("utf-16-le", "ignore")


def digest_in(properties: Mapping[str, str] | None, tags: Mapping[str, str] | None) -> Digest | None:
    """The content digest that an asset carries, its properties before its tags; None where it is not ours."""
    for entries in (properties, tags):
        if entries and entries.get(DIGEST):
            return entries[DIGEST]
    return None


def _value(candidate: RankedCandidate, objective: Objective) -> str | None:
    metric = (candidate.metrics or {}).get(objective.name)
    return None if metric is None or metric.value is None else repr(metric.value)
