"""How to use the package: where the best model lies, and what else is there that helps to run it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from packhouse.worker.package.candidate import Candidate, CandidateFolder
from packhouse.worker.package.report.shown import Words

_SAMPLES: Final = "SampleCode/"
_RUNTIMES: Final = "ONNXRuntimePackages/"


@dataclass(frozen=True)
class Usage:
    """What to do with the package."""

    model: str
    """Path of the best model: a file or a folder."""
    literal: str
    """The same as a literal of Python."""
    provider: str | None
    """The execution provider of its accelerator, where it is one ONNX model that ONNX Runtime opens by itself."""
    samples: list[str]
    """Folders of sample code."""
    runtimes: list[str]
    """Folders of runtime packages."""


def usage(folder: CandidateFolder, best: Candidate, others: Collection[str], words: Words) -> Usage:
    """For the best candidate of a package with these other paths."""
    base = f"{folder.prefix}/" if folder.prefix else ""
    opened = best.source.kind.is_onnx and not best.source.generative
    path = base + best.source.main if best.source.main else folder.prefix or "."
    return Usage(
        model=words.name(path, 240),
        literal=ascii(path),
        provider=best.ranked.accelerator.execution_provider if opened else None,
        samples=_folders(_SAMPLES, others),
        runtimes=_folders(_RUNTIMES, others),
    )


def _folders(root: str, paths: Collection[str]) -> list[str]:
    """The folders right below one that hold files."""
    below = (path.removeprefix(root) for path in paths if path.startswith(root))
    return sorted({root + rest.partition("/")[0] for rest in below if "/" in rest})
