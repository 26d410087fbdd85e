"""Entries of the status streams: reading them, and telling a second copy of an event from the first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from packhouse.schemas.cloudevent import RunRef
from packhouse.schemas.errors import ErrorCode
from packhouse.schemas.keys import FIELD
from packhouse.schemas.status import (
    STATUS_EVENT,
    AcceptedEvent,
    CompletedEvent,
    FinalEvent,
    PackageDelayedEvent,
    PackageFailedEvent,
    PackageProgressEvent,
    PackageStartedEvent,
    PackageSucceededEvent,
    RejectedEvent,
    ReopenedEvent,
)

AnyStatus = (
    AcceptedEvent
    | RejectedEvent
    | ReopenedEvent
    | PackageStartedEvent
    | PackageDelayedEvent
    | PackageProgressEvent
    | PackageSucceededEvent
    | PackageFailedEvent
    | CompletedEvent
)
"""Any status event, as a type that can be used where an annotation cannot."""

REMEMBERED: Final = 10_000
"""How many event ids a reader remembers to drop second copies by."""


def text(value: object) -> str:
    """Text as redis-py gives it, decoded or not."""
    return value.decode() if isinstance(value, bytes) else str(value)


def read_event(fields: Mapping[Any, Any] | None) -> AnyStatus | None:
    """The event of an entry; None for an entry that was deleted, or is no event that this version knows.

    Fields that it does not know are left out: newer workers may tell more.
    """
    value: Any = (fields.get(FIELD.encode()) or fields.get(FIELD)) if fields else None
    if not value:
        return None
    try:
        return STATUS_EVENT.validate_json(value, extra="ignore")
    except ValidationError:
        return None


def read_final(value: bytes | str | None) -> FinalEvent | None:
    """The final event under a run's key, or None."""
    event = read_event({FIELD: value}) if value else None
    return event if isinstance(event, CompletedEvent | RejectedEvent) else None


def is_ours(final: FinalEvent, content_digest: str | None, event_id: str | None) -> bool:
    """Whether a final event of the run is about this content, or rejects this very event.

    The run id may have been used before for other content: that run's final event is not the answer. Without a
    digest any final event of the run itself is.
    """
    if isinstance(final, RejectedEvent) and event_id is not None and final.data.event_id == event_id:
        return True
    if content_digest is None:
        return not is_refusal(final)
    return final.data.content_digest == content_digest


def round_of(event: AnyStatus | None) -> int:
    """The round of a run that an event begins or ends; 0 for any other."""
    return event.data.round if isinstance(event, CompletedEvent | ReopenedEvent) else 0


def is_refusal(event: AnyStatus) -> bool:
    """Whether this rejects a second run of the same id: the run that had the id first goes on regardless."""
    return isinstance(event, RejectedEvent) and event.data.error.code is ErrorCode.RUN_ID_REUSED


def is_about(event: AnyStatus, run: RunRef | None) -> bool:
    """Whether an event is about a run; None stands for every run."""
    return run is None or (event.subject == run.id and event.source == run.source)


class Seen:
    """The ids of the latest events, in bounded memory."""

    def __init__(self, most: int = REMEMBERED) -> None:
        self._most = most
        self._entries: OrderedDict[tuple[str, str], str] = OrderedDict()

    def is_copy(self, event: AnyStatus, entry_id: str) -> bool:
        """Whether another entry brought this event before. The same entry, delivered again, is no copy."""
        key = (event.source, event.id)
        first = self._entries.setdefault(key, entry_id)
        self._entries.move_to_end(key)
        if len(self._entries) > self._most:
            self._entries.popitem(last=False)
        return first != entry_id
