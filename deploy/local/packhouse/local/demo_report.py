"""The last table of the demonstration: every package as it is found from outside."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.table import Table

from packhouse.local.azure.readback import Found, Wanted, read_back_by
from packhouse.schemas import CompletedEvent
from packhouse.schemas.status import PackageResult

_COLLECTIONS: Final = {"AzureMLModels": "models", "AzureMLData": "data"}
_WORDS: Final = {"models": "model asset", "data": "data asset"}


@dataclass(frozen=True)
class Outcome:
    """What became of a run: its final event, None where none came, and the names of the ZIPs that were verified."""

    run: str
    final: CompletedEvent | None
    sound: frozenset[str]


@dataclass(frozen=True)
class _Row:
    kind: str
    name: str
    what: PackageResult | Found | None
    good: bool
    word: str


def show(outcomes: Iterable[Outcome], azure: Mapping[str, str]) -> bool:
    """Print the table. Returns whether everything that was packaged is there, and is what it claims to be.

    Assets are read back in the environment ``azure``, by the SDK and in a process of its own.
    """
    table = Table("run", "package", "name", "files", "bytes", "digest", "read back", box=None, pad_edge=False)
    good = True
    for outcome in outcomes:
        for row in _rows(outcome, azure):
            files, size, digest = ("", "", "")
            if row.what is not None:
                files, size = str(row.what.files), f"{row.what.bytes:,}"
                digest = (row.what.digest or "").removeprefix("sha256:")[:12]
            table.add_row(outcome.run, row.kind, row.name, files, size, digest, row.word)
            good = good and row.good
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    return good


def _rows(outcome: Outcome, azure: Mapping[str, str]) -> Iterator[_Row]:
    if outcome.final is None:
        yield _Row("", "", None, good=False, word="DID NOT END")
        return
    for package in outcome.final.data.packages:
        if package.error:
            yield _Row(package.type, package.name, None, good=False, word=f"FAILED: {package.error.code}")
        elif package.path:
            name = package.path.rpartition("/")[2]
            sound = name in outcome.sound
            yield _Row("ZIP", name, package, good=sound, word="verified" if sound else "NOT SOUND")
    wanted = list(_wanted(outcome.final))
    for found in read_back_by(azure, wanted) if wanted else ():
        wanted.remove(found.asset)
        word = "same digest" if found.matches else "OTHER CONTENT"
        yield _Row(_WORDS[found.asset.collection], _named(found.asset), found, good=found.matches, word=word)
    for asset in wanted:
        yield _Row(_WORDS[asset.collection], _named(asset), None, good=False, word="NOT FOUND")


def _named(asset: Wanted) -> str:
    return f"{asset.name}:{asset.version}"


def _wanted(final: CompletedEvent) -> Iterator[Wanted]:
    for package in final.data.packages:
        for asset in package.assets:
            yield Wanted.model_validate(
                {
                    "collection": _COLLECTIONS[package.type],
                    "name": asset.name,
                    "version": asset.version,
                    "digest": asset.digest,
                }
            )
