"""Whether a package is what it claims to be: every law that a package of ours keeps, checked from the outside."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Final

from packhouse.schemas.verification import VerifyCheck, VerifyReport
from packhouse.worker.verify.archive import Archive
from packhouse.worker.verify.candidates import check_candidates, check_ranks
from packhouse.worker.verify.container import UNREADABLE, Container
from packhouse.worker.verify.contents import Contents, Found, Skipped, Step, Watcher
from packhouse.worker.verify.files import check_digests, check_manifest, check_presence
from packhouse.worker.verify.mlflow import check_mlflow
from packhouse.worker.verify.models import check_models
from packhouse.worker.verify.page import check_report
from packhouse.worker.verify.runtimes import check_runtimes
from packhouse.worker.verify.samples import check_samples
from packhouse.worker.verify.unpacked import Unpacked
from packhouse.worker.verify.verdicts import check_verdicts

_ARCHIVE: Final = "archive"
_STEPS: Final[tuple[tuple[str, str, Step], ...]] = (
    ("manifest", "manifest.json is there and valid", check_manifest),
    ("files", "the files of the manifest are there, and no others", check_presence),
    ("digests", "every file has the size and sha256 of the manifest", check_digests),
    ("ranks", "models_rank.json is valid and its paths exist", check_ranks),
    ("candidates", "every candidate's folder is complete and valid", check_candidates),
    ("verdicts", "the manifest says of every candidate what came of trying it", check_verdicts),
    ("mlflow", "what is in the MLflow format agrees with its model", check_mlflow),
    ("samples", "the sample code is there, and is code", check_samples),
    ("runtimes", "the runtime packages are those of their lock file", check_runtimes),
    ("report", "report.html is there, and loads nothing from elsewhere", check_report),
    ("models", "every ONNX model loads", check_models),
)
"""Name, law and check. What takes long comes last; what reads the documents that others need comes first."""
_MOST_LINES: Final = 1000
"""Findings and notes that a check tells, each."""


def verify(path: Path, *, shown: str, watcher: Watcher) -> VerifyReport:
    """Check a package, as a ZIP or unpacked into a folder.

    A file that is no ZIP or not whole is a finding. Raises ``OSError`` where the file or folder cannot be opened.
    """
    try:
        container: Container = Unpacked(path) if path.is_dir() else Archive(path)
    except zipfile.BadZipFile as error:
        broken = _check(_ARCHIVE, Archive.law, Found([str(error)]))
        skipped = [_skipped(name, "it is no whole ZIP file") for name, _, _ in _STEPS]
        size = path.stat().st_size
        return VerifyReport(
            package=shown, ok=False, format=None, digest=None, bytes=size, files=0, checks=[broken, *skipped],
            unavailable=[],
        )  # fmt: skip
    with container:
        contents = Contents(container, watcher)
        checks = _checks(contents)
        manifest = contents.manifest
        return VerifyReport(
            package=shown,
            ok=all(check.state != "failed" for check in checks),
            format=manifest.format if manifest else None,
            digest=contents.digest,
            bytes=container.bytes,
            files=len(container.sizes),
            checks=checks,
            unavailable=manifest.unavailable if manifest else [],
        )


def _checks(contents: Contents) -> list[VerifyCheck]:
    first = _run(_ARCHIVE, contents.container.law, lambda of: Found(list(of.container.faults())), contents)
    if first.state == "failed":
        return [first, *(_skipped(name, "what the files lie in is not sound") for name, _, _ in _STEPS)]
    return [first, *(_run(name, law, step, contents) for name, law, step in _STEPS)]


def _run(name: str, law: str, step: Step, contents: Contents) -> VerifyCheck:
    try:
        return _check(name, law, step(contents))
    except Skipped as reason:
        return _skipped(name, str(reason))
    except UNREADABLE as error:
        return _check(name, law, Found([f"it cannot be read: {error}"]))


def _check(name: str, law: str, found: Found) -> VerifyCheck:
    return VerifyCheck(
        name=name,
        state="failed" if found.findings else "ok",
        message=f"{law}: {found.counted}" if found.counted else law,
        findings=_bounded(found.findings),
        notes=_bounded(found.notes),
    )


def _skipped(name: str, reason: str) -> VerifyCheck:
    return VerifyCheck(name=name, state="skipped", message=f"not checked: {reason}")


def _bounded(lines: list[str]) -> list[str]:
    more = len(lines) - _MOST_LINES
    return lines if more <= 0 else [*lines[:_MOST_LINES], f"and {more} more"]
