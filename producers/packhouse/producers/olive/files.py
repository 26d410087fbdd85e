"""The footprint files of an output_dir: which there are, and what is in them.

Names by version: ``{prefix}_footprints.json`` and ``{prefix}_pareto_frontier_footprints.json`` (0.6, the prefix holding
output name and accelerator), ``footprints.json``, ``pareto_frontier_footprints.json``, ``output_footprints.json``, in
a folder per accelerator where there are several (0.7 to 0.9), ``footprint.json`` and ``output_footprint.json``
(0.10 and later).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from packhouse.producers.olive.accelerator import split_prefix
from packhouse.producers.olive.nodes import RawFootprint, output_invalid
from packhouse.schemas.accelerator import Accelerator
from packhouse.schemas.errors import ErrorCode, PermanentError

_FILE = re.compile(r"(?:(?P<prefix>.+?)_)??(?P<kind>pareto_frontier_|output_)?footprints?\.json")


@dataclass
class FootprintFiles:
    """The files of one accelerator and output name, by absolute path."""

    folder: Path
    output_name: str | None
    accelerator: Accelerator | None
    """As the names of file or folder say it; None where they do not."""
    full: Path | None = None
    selections: list[Path] = field(default_factory=list[Path])
    """Files that hold what the run put out: the frontier of its search, or its outputs."""


def find_footprints(output_dir: Path) -> list[FootprintFiles]:
    """The footprint files of an output_dir, in the order of their names.

    Raises ``PermanentError``: ``output_not_found`` where there is no such folder or no footprint in it,
    ``output_invalid`` where a file is there without the one that belongs to it.
    """
    found = _in_folder(output_dir, None)
    for folder in _listing(output_dir):
        output_name, accelerator = split_prefix(folder.name)
        if accelerator is not None and output_name is None and folder.is_dir():
            found += _in_folder(folder, accelerator)
    for files in found:
        if files.full is None:
            raise output_invalid(
                str(files.selections[0]), [("", "the footprints of all models, written after it, are not there (yet)")]
            )
    if not found:
        raise _nothing_there(output_dir)
    return found


def read_json(path: Path) -> RawFootprint:
    """The object in a file. ``NaN`` and ``Infinity`` are read as Python's json writes them.

    Raises ``PermanentError``: ``output_not_found``, ``output_invalid``.
    """
    try:
        value: Any = from_json(path.read_bytes())
    except FileNotFoundError:
        raise PermanentError(
            ErrorCode.OUTPUT_NOT_FOUND, f"There is no file {path}.", fix="Give the output_dir of a run that has ended."
        ) from None
    except OSError as error:
        raise output_invalid(str(path), [("", f"cannot be read: {error.strerror}")]) from error
    except ValueError as error:
        reason = f"is no JSON, or only half of it was written: {error}"
        raise output_invalid(str(path), [("", reason)]) from error
    if not isinstance(value, dict):
        raise output_invalid(str(path), [("", "must be an object of model ids and nodes")])
    return value


def _listing(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        message, fix = f"There is no folder {folder}.", "Give the output_dir of an Olive run."
    except NotADirectoryError:
        message, fix = f"{folder} is a file.", f"Give the folder: {folder.parent}."
    except OSError as error:
        message, fix = f"{folder} cannot be read: {error.strerror}.", "Give yourself the right to read it."
    raise PermanentError(ErrorCode.OUTPUT_NOT_FOUND, message, fix=fix)


def _in_folder(folder: Path, accelerator: Accelerator | None) -> list[FootprintFiles]:
    found: dict[str, FootprintFiles] = {}
    for path in _listing(folder):
        match = _FILE.fullmatch(path.name)
        if not match:
            continue
        prefix = match["prefix"] or ""
        output_name, named = split_prefix(prefix)
        files = found.setdefault(prefix, FootprintFiles(folder, output_name, accelerator or named))
        if match["kind"]:
            files.selections.append(path)
        else:
            files.full = path
    return list(found.values())


def _nothing_there(output_dir: Path) -> PermanentError:
    below = [folder for folder in _listing(output_dir) if folder.is_dir() and _in_folder(folder, None)]
    hint = f" There are some in {below[0]}: give that folder." if below else ""
    return PermanentError(
        ErrorCode.OUTPUT_NOT_FOUND,
        f"{output_dir} holds no footprints of Olive (footprint.json, or *_footprints.json).",
        fix=f"Give the output_dir of an Olive run that has ended with passes run.{hint}",
    )
