"""Taking turns at what only one process should do at a time. Doing it twice does no harm, only costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final, Protocol

_PAUSE: Final = 0.1
_KEPT: Final = 0.5
"""Least seconds between two renewals of a claim."""


class Claims(Protocol):
    """What of ``ledger.Notebook`` is needed here."""

    def claim(self, name: str) -> bool: ...  # noqa: D102 (as there)

    def unclaim(self, name: str) -> None: ...  # noqa: D102 (as there)


@contextmanager
def alone(claims: Claims, name: str, waiting: Callable[[], None]) -> Generator[Callable[[], None]]:
    """Wait for one's turn. Gives a function to call while the work moves, or the turn passes to another.

    ``waiting`` is called again and again until it is one's turn; what it raises ends the wait.
    """
    while not claims.claim(name):
        waiting()
        time.sleep(_PAUSE)
    kept = time.monotonic()

    def keep() -> None:
        nonlocal kept
        if time.monotonic() - kept >= _KEPT:
            kept = time.monotonic()
            claims.claim(name)

    try:
        yield keep
    finally:
        claims.unclaim(name)
