"""Azurite, the blob store: installed once per machine from npm, by a lock with the digest of every package."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
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


def install(say: Callable[[str], None], stopped: Callable[[], bool] = lambda: False) -> Path:
    """The folder with Azurite, which is installed where it is missing; takes half a minute then, and says so.

    Raises ``PermanentError`` where npm cannot install it, or when ``stopped`` says not to wait for it.
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
                _install(fresh, stopped)
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


def _install(folder: Path, stopped: Callable[[], bool]) -> None:
    for name in _FILES:
        shutil.copy(_RECIPE / name, folder / name)
    npm = [shutil.which("npm") or "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    log = folder / "npm.log"
    deadline = time.monotonic() + _INSTALL_SECONDS
    # A session of its own: Ctrl-C is for the stack, which then ends this in order.
    with (
        log.open("wb") as out,
        subprocess.Popen(
            npm, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        ) as process,
    ):
        while process.poll() is None:
            if stopped() or time.monotonic() > deadline:
                os.killpg(process.pid, signal.SIGKILL)
            time.sleep(0.05)
    if process.returncode or not (folder / _MAIN).is_file():
        told = " ".join(log.read_text("utf-8", "replace").split())[-500:].rstrip(".")
        raise PermanentError(
            ErrorCode.CONFIGURATION_INVALID,
            f"npm could not install Azurite: {told or 'it was ended'}.",
            fix="Give npm its registry, or start without Azure: packhouse up --no-azure.",
        )
