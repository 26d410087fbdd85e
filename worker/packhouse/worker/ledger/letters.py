"""The dead letters: what came by the run queue and could not be understood."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from packhouse.worker.ledger.ledger import Ledger

_HEAD: Final = 16 * 1024
"""Bytes of an event that surely hold its names."""


@dataclass(frozen=True)
class Letter:
    """A dead letter, without most of its event."""

    id: str
    """Entry of the stream of dead letters."""
    reason: str
    run: str
    """Key of the run where an open run was rejected, else empty."""
    bytes: int
    """Length of the event as it came."""
    digest: str
    kept: int
    """How much of that is kept."""
    head: bytes
    """The first part of the event, or all of it."""

    @property
    def whole(self) -> bool:
        """Whether all of the event is kept."""
        return self.kept == self.bytes


@dataclass(frozen=True)
class Replayed:
    """What came of sending a letter once more."""

    outcome: Literal["replayed", "unknown", "truncated"]
    entry: str = ""
    """Of the run queue."""


class DeadLetters:
    """The dead letters of a ledger, whose client answers in bytes: nobody knows what they hold."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def latest(self, count: int) -> list[Letter]:
        """The latest, newest first, each with the head of its event."""
        return [_letter(row) for row in self._ledger.call("letters", count, _HEAD)]

    def event(self, letter: str) -> tuple[dict[str, str], bytes] | None:
        """All fields of a letter beside its event, and what is kept of that; None where there is no such letter."""
        rows = cast("Any", self._ledger.redis.xrange(self._ledger.keys.dead_letters, letter, letter))
        if not rows:
            return None
        fields: dict[bytes, bytes] = dict(rows[0][1])
        event = fields.pop(b"event", b"")
        return {name.decode(): value.decode("utf-8", "replace") for name, value in fields.items()}, event

    def drop(self, letters: Sequence[str]) -> int:
        """Throw letters away; all of them where none is named. Returns how many there were."""
        return int(self._ledger.call("drop", json.dumps(list(letters))))

    def replay(self, letter: str, *, instead: bytes = b"", signature: str = "") -> Replayed:
        """Send a letter's event to the run queue once more, or another in its place, and take it out of the letters."""
        outcome, *rest = self._ledger.call("replay", letter, instead, signature)
        return Replayed(cast("Any", _text(outcome)), _text(rest[0]) if rest else "")


def _letter(row: list[bytes]) -> Letter:
    entry, reason, run, length, digest, kept, head = row
    return Letter(_text(entry), _text(reason), _text(run), int(length), _text(digest), int(kept), head)


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")
