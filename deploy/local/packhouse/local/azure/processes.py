"""The two processes that stand in for Azure: how they are started."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from packhouse.local.azure import azurite
from packhouse.local.azure.authority import certificates_in
from packhouse.local.azure.identity import Identity
from packhouse.local.azure.place import Place


@dataclass(frozen=True)
class Program:
    """A process to be: its name, its command, and what its environment needs besides."""

    name: str
    command: list[str]
    environment: Mapping[str, str]


def programs(place: Place, home: Path, port: int, azurite_port: int) -> list[Program]:
    """Azurite, installed in ``home``, and the stand-in before it, all state in ``place``."""
    place.make()
    identity = Identity.kept_in(place.identity)
    accounts = ";".join(f"{account.name}:{account.key}" for account in identity.accounts)
    blobs = azurite.command(home, azurite_port, place.blobs, certificates_in(place.certificates))
    standin = [
        sys.executable,
        "-P",
        "-m",
        "packhouse.local.azure.standin",
        str(place.path),
        str(port),
        str(azurite_port),
    ]
    return [Program("azurite", blobs, {"AZURITE_ACCOUNTS": accounts}), Program("azure", standin, {})]
