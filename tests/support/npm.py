"""Packages of npm that tests take files from. No script of a package is run."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

from support.cache import cached


def npm_package(name: str, version: str) -> Path:
    """The folder ``package`` of a package's tarball, unpacked in the cache. Fails where npm cannot have it."""

    def fetch(folder: Path) -> None:
        asked = ["npm", "pack", "--silent", f"{name}@{version}"]
        ended = subprocess.run(asked, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
        tarballs = list(folder.glob("*.tgz"))
        if ended.returncode or len(tarballs) != 1:
            raise AssertionError(f"{' '.join(asked)} ended with {ended.returncode}: {ended.stdout}{ended.stderr}")
        with tarfile.open(tarballs[0]) as tarball:
            tarball.extractall(folder, filter="data")
        tarballs[0].unlink()

    return cached(f"npm/{name.replace('/', '+')}-{version}", fetch) / "package"
