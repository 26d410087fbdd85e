"""The names of runs that nobody named."""

from __future__ import annotations

import secrets
import socket

from pydantic import ValidationError

from packhouse.schemas.errors import ErrorCode, PermanentError, explain
from packhouse.schemas.events import FinishedRun, RunFinished


def default_source() -> str:
    """The source of events published from this machine, if no other is given."""
    return f"urn:packhouse:host:{socket.gethostname()}"


def new_event(run: FinishedRun, source: str | None, run_id: str | None, *, again: bool = False) -> RunFinished:
    """An event of a run; its source is this machine and its id follows from its content, unless they are given.

    ``again`` gives it an id that no other run has. Raises ``PermanentError`` (``event_invalid``), the field named.
    """
    try:
        draft = RunFinished.of(run, source=source or default_source(), run_id=run_id or "run")
    except ValidationError as error:
        field, sentence = explain(error)[0]
        raise PermanentError(
            ErrorCode.EVENT_INVALID,
            f"{field}: {sentence}",
            fix="Change what this field comes from (subject is the run's id).",
            field=field,
        ) from None
    name = run_id or f"run-{draft.content_digest.removeprefix('sha256:')[:12]}"
    return draft.model_copy(update={"subject": f"{name}-{secrets.token_hex(3)}" if again else name})
