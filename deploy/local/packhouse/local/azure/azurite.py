"""Azurite, the blob store: installed once per machine from npm, by a lock with the digest of every package."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from packhouse.local.azure.authority import Certificates
from packhouse.schemas.errors import ErrorCode, PermanentError

_RECIPE: Final = Path(__file__).with_name("azurite")
_FILES: Final = ("package.json", "package-lock.json")
_MAIN: Final = Path("node_modules/azurite/dist/src/blob/main.js")
_INSTALL_SECONDS: Final = 600


def missing_programs() -> list[str]:
    """What Azurite needs and this machine lacks."""
    return [name for name in ("node", "npm") if shutil.which(name) is None]


def install(say: Callable[[str], None]) -> Path:
    """The folder with Azurite, which is installed where it is missing; takes half a minute then, and says so.

    Raises ``PermanentError`` where npm cannot install it.
    """
    home = _cache() / f"azurite-{_digest()}"
    if (home / _MAIN).is_file():
        return home
    home.parent.mkdir(parents=True, exist_ok=True)
    with home.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / _MAIN).is_file():
            say("Installing Azurite, the blob store, from npm: half a minute, this once.")
            fresh = Path(tempfile.mkdtemp(prefix="azurite-", dir=home.parent))
            try:
                _install(fresh)
                fresh.replace(home)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
    return home


def command(home: Path, port: int, blobs: Path, certificates: Certificates) -> list[str]:
    """How Azurite is started: blobs alone, on loopback, encrypted, for whoever shows a token, a key or a signature."""
    return [
        shutil.which("node") or "node", str(home / _MAIN), "--silent", "--blobHost", "127.0.0.1", "--blobPort",
        str(port), "--blobKeepAliveTimeout", "120", "--location", str(blobs), "--cert", str(certificates.chain),
        "--key", str(certificates.key), "--oauth", "basic", "--skipApiVersionCheck", "--disableTelemetry",
    ]  # fmt: skip


def _cache() -> Path:
    """The user's folder for what can be had again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "packhouse"


def _digest() -> str:
    digest = hashlib.sha256()
    for name in _FILES:
        digest.update((_RECIPE / name).read_bytes())
    return digest.hexdigest()[:16]


def _install(folder: Path) -> None:
    for name in _FILES:
        shutil.copy(_RECIPE / name, folder / name)
    npm = [shutil.which("npm") or "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        done = subprocess.run(
            npm,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        told = done.stderr.strip().splitlines()[-12:] if done.returncode else []
    except (OSError, subprocess.TimeoutExpired) as error:
        told = [str(error)]
    if told or not (folder / _MAIN).is_file():
        raise PermanentError(
            ErrorCode.CONFIGURATION_INVALID,
            "npm could not install Azurite: " + (" ".join(line.strip() for line in told) or "its program is missing."),
            fix="Give npm its registry, or start without Azure: packhouse up --no-azure.",
        )
