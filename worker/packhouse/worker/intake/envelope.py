"""Reading an event's envelope without trusting a byte of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import from_json

from packhouse.schemas.cloudevent import CloudEvent, RunRef
from packhouse.schemas.errors import ErrorCode, PermanentError, explain, invalid
from packhouse.schemas.events import RUN_FINISHED, RUN_FINISHED_SCHEMA, RunFinishedByReference, content_digest_of
from packhouse.worker.ledger import Arrival
from packhouse.worker.tracing import TRACEPARENT, parent_in

_HEAD = 64 * 1024


@dataclass(frozen=True)
class Head:
    """What could be read of an event: enough, with luck, to answer its sender."""

    id: str | None = None
    source: str | None = None
    subject: str | None = None

    @property
    def run(self) -> RunRef | None:
        """The run, where source and subject could be read."""
        return RunRef(source=self.source, id=self.subject) if self.source and self.subject else None


def digest_of_bytes(raw: bytes) -> str:
    """``sha256:…`` of bytes that may be anything."""
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def read_head(raw: bytes) -> Head:
    """Id, source and subject as far as they stand in the first 64 KiB; never raises."""
    text = raw[:_HEAD].decode("utf-8", "ignore")
    try:
        value = from_json(text, allow_partial=True)
    except ValueError:
        return Head()
    if not isinstance(value, dict):
        return Head()
    fields = cast("dict[str, Any]", value)
    return Head(
        *(_name(fields.get(name), longest) for name, longest in (("id", 1024), ("source", 1024), ("subject", 256)))
    )


def read_envelope(raw: bytes, longest: int) -> Arrival:
    """The envelope of a ``RunFinished`` event. Raises ``PermanentError`` with the field at fault."""
    if len(raw) > longest:
        raise PermanentError(
            ErrorCode.EVENT_TOO_LARGE,
            f"The event has {len(raw)} bytes; the most is {longest}.",
            fix="Send fewer nodes, or let the operator raise PACKHOUSE_MAX_EVENT_BYTES.",
            field="data",
        )
    try:
        text = raw.decode("utf-8")
        value = from_json(text)
    except (UnicodeDecodeError, ValueError) as error:
        raise PermanentError(
            ErrorCode.EVENT_NOT_JSON,
            f"The entry is not JSON: {error}.",
            fix="Send a CloudEvent in the JSON format, encoded as UTF-8, in the field 'event'.",
        ) from None
    fix = "Send a CloudEvent 1.0 as the schema run-finished.json describes it."
    if not isinstance(value, dict):
        raise PermanentError(
            ErrorCode.EVENT_INVALID, f"The event is a JSON {type(value).__name__}, not an object.", fix=fix
        )
    fields = cast("dict[str, Any]", value)
    by_reference = fields.get("data") is None and "dataref" in fields
    model = RunFinishedByReference if by_reference else CloudEvent
    complaints: list[tuple[str, str]] = []
    try:
        model.model_validate({name: fields[name] for name in fields if name != "data"})
    except ValidationError as error:
        complaints = explain(error)
    for name, known in (("type", RUN_FINISHED), ("dataschema", RUN_FINISHED_SCHEMA)):
        if fields.get(name, RUN_FINISHED_SCHEMA if name == "dataschema" else None) != known:
            complaints.append((name, f"{str(fields.get(name))[:80]!r} is not known here; known is {known!r}"))
    if not by_reference and not isinstance(fields.get("data"), dict):
        complaints.append(("data", "must be an object, or dataref must say where it lies"))
    if complaints:
        raise invalid(ErrorCode.EVENT_INVALID, "The envelope is not valid", complaints, fix=fix)
    try:
        digest = content_digest_of(fields)
    except RecursionError:
        raise PermanentError(
            ErrorCode.EVENT_INVALID, "The event's data is nested too deeply.", fix=fix, field="data"
        ) from None
    run = RunRef(source=fields["source"], id=fields["subject"])
    return Arrival(run, fields["id"], digest, text, parent_in(fields.get(TRACEPARENT)))


def _name(value: object, longest: int) -> str | None:
    fits = isinstance(value, str) and 0 < len(value) <= longest and value.isprintable()
    return cast("str", value) if fits else None
