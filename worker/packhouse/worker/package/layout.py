"""The whole tree of a package that holds all candidates of a run: what a ZIP unpacks to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from packhouse.schemas.files import MODELS_RANK
from packhouse.worker.package.candidate import CandidateFolder
from packhouse.worker.package.jsontext import json_bytes
from packhouse.worker.package.tree import Entry, Made, PackageTree


def lay_out(folders: Sequence[CandidateFolder], *parts: Mapping[str, Entry]) -> PackageTree:
    """The candidates' folders, best first, with ``models_rank.json``, and whatever other parts the package has.

    A part is made elsewhere and knows its own paths. Everything but the manifest is here: that one is written from the
    digests of what was poured. Raises ``PermanentError`` (``layout_conflict``).
    """
    tree = PackageTree({MODELS_RANK: Made(json_bytes([folder.rank_entry for folder in folders]))})
    for part in (*(folder.entries for folder in folders), *parts):
        for path, entry in part.items():
            tree.add(path, entry)
    return tree
