"""The address of the server, as both the ledger's client and Celery's read it."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

_SCHEMES: Final = ("redis", "rediss")


def check_server_url(url: str) -> str:
    """The address, if it is one. Raises ``ValueError``, which never holds a password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        port, parts = 0, urlsplit("")
    if parts.scheme not in _SCHEMES or not parts.hostname or port == 0:
        raise ValueError("is no address of a server: write redis://HOST:PORT/DATABASE, or rediss:// for TLS")
    if not re.fullmatch(r"/?\d{0,5}", parts.path):
        raise ValueError("names a database that is no number: write redis://HOST:PORT/DATABASE")
    return url
