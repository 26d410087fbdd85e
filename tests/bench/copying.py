"""``cp``, the measure of all that moves bytes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.measure import Usage, settle, used


def copied(folder: Path, *groups: Sequence[Path]) -> Usage:
    """What ``cp --reflink=never`` takes, once for each group of files; the copies are gone when this returns."""
    targets = [folder / str(number) for number in range(len(groups))]
    for target in targets:
        target.mkdir(parents=True)

    def cp() -> None:
        for target, files in zip(targets, groups, strict=True):
            subprocess.run(["cp", "--reflink=never", *files, target], check=True)

    usage = used(cp)
    settle(*(file for target in targets for file in target.iterdir()))
    shutil.rmtree(folder)
    return usage
