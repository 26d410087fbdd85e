"""``cp``, the measure of all that moves bytes."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.measure import Usage, settle, used


def copied(folder: Path, files: Sequence[Path]) -> Usage:
    """What ``cp --reflink=never`` of these files into a new folder takes; the copies are gone when this returns."""
    folder.mkdir()
    usage = used(lambda: subprocess.run(["cp", "--reflink=never", *files, folder], check=True))
    settle(*folder.iterdir())
    folder.rmdir()
    return usage
