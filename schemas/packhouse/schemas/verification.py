"""What ``packhouse verify`` found, as ``--json`` prints it."""

from __future__ import annotations

from typing import Literal

from packhouse.schemas.base import Digest, Document
from packhouse.schemas.files import Unavailable


class VerifyCheck(Document):
    """One law, and whether the package keeps it."""

    name: str
    state: Literal["ok", "failed", "skipped"]
    """``skipped`` where there was nothing to look at, or no way to."""
    message: str
    """The law with what was counted, or why it was skipped."""
    findings: list[str] = []
    """Each thing that is wrong, in a sentence."""
    notes: list[str] = []
    """What one should know of besides, and is no fault of the package."""


class VerifyReport(Document):
    """What came of verifying a package."""

    package: str
    """As it was named on the command line."""
    ok: bool
    """Whether no check failed."""
    format: int | None
    """Of the package, as its manifest says; None where it has no valid one."""
    digest: Digest | None
    """Digest of the manifest, as in the status of the package."""
    bytes: int
    """Of the ZIP file, or of all files of the folder."""
    files: int
    checks: list[VerifyCheck]
    unavailable: list[Unavailable]
    """What the manifest says could not be had when the package was made."""
