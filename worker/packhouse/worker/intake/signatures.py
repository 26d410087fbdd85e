"""Whether an event is signed by one who may publish, and was meant for now."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.signing import SigningKey, parse_signature
from packhouse.worker.settings import Settings

_AHEAD: Final = timedelta(minutes=5)
"""How far an engine's clock may be ahead of the server's."""


class SignatureError(PermanentError):
    """Nothing in the event can be believed, not even whose it is: its alleged sender gets no answer."""

    def __init__(self, message: str, fix: str, *, field: str = "signature") -> None:
        super().__init__(ErrorCode.SIGNATURE_INVALID, message, fix=fix, field=field)


class Signatures:
    """The check of signatures; one without keys lets every event pass."""

    def __init__(self, settings: Settings, run_queue: str) -> None:
        self._keys: dict[str, SigningKey] = {key.id: key for key in settings.event_keys}
        self._longest = timedelta(seconds=settings.event_seconds)
        self._run_queue = run_queue

    def check(self, entry: str, event: bytes, signature: bytes | None) -> None:
        """Raises ``SignatureError`` where a key is set and the event is not signed, altered, old or by reference alone.

        ``entry`` is the id of the stream entry, which begins with the time of its arrival in milliseconds: so an event
        may wait for a worker for as long as it has to. The same event twice within the time is the ledger's to know.
        """
        if not self._keys:
            return
        found = parse_signature(signature.decode("utf-8", "replace")) if signature else None
        if found is None:
            raise SignatureError(
                "The event is not signed." if signature is None else "The signature of the event has another form.",
                "Publish with a signing key (PACKHOUSE_SIGNING_KEY) that the workers know.",
            )
        key_id, digest = found
        key = self._keys.get(key_id)
        if key is None:
            raise SignatureError(
                f"The event is signed with the key {key_id!r}, which this worker does not know.",
                "Publish with a key that is in PACKHOUSE_EVENT_KEYS, or let the operator add this one.",
            )
        if not key.signed(event, self._run_queue, digest):
            raise SignatureError(
                f"The event is not what was signed with the key {key_id!r} for this queue.",
                "Sign the very bytes that are sent, for the queue that they are sent to, with the same secret.",
            )
        fields = _fields(event)
        self._check_time(entry, fields.get("time"))
        if fields.get("data") is None and not fields.get("datarefsha256"):
            raise SignatureError(
                "The event refers to a document without its digest, so the document is not signed.",
                "Give the document's SHA-256 as datarefsha256.",
                field="datarefsha256",
            )

    def _check_time(self, entry: str, told: object) -> None:
        try:
            time = datetime.fromisoformat(told) if isinstance(told, str) else None
        except ValueError:
            time = None
        if time is None or time.tzinfo is None:
            raise SignatureError(
                "A signed event says when it was made, and this one does not.",
                "Set time to the present, as RFC 3339 has it, with a time zone.",
                field="time",
            )
        try:
            arrived = datetime.fromtimestamp(int(entry.partition("-")[0]) / 1000, UTC)
        except (ValueError, OverflowError):
            raise SignatureError(
                f"The event came under the id {entry}, which tells no time.",
                "Let the server make the ids of the run queue's entries: XADD with *.",
            ) from None
        if not -_AHEAD <= arrived - time <= self._longest:
            raise SignatureError(
                f"The event was made at {time.isoformat()} and came at {arrived.isoformat(timespec='seconds')}.",
                f"Publish within {self._longest.total_seconds():.0f} s of making the event, by a clock that is right.",
                field="time",
            )


def _fields(event: bytes) -> dict[str, Any]:
    """The members of the event; none where it is no object, which the reading of the envelope will tell."""
    try:
        value = json.loads(event)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
