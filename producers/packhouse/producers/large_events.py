"""Events that are too large for a message: their data goes into a document beside it, and the event says where."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from pydantic_core import from_json

from packhouse.producers.filecopy import sync_folder, writing_to
from packhouse.schemas.base import canonical_json, uncollected
from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.events import RunFinished, RunFinishedByReference
from packhouse.schemas.paths import PathMap


def to_wire(
    event: RunFinished, largest: int, folder: str | os.PathLike[str] | None, mapping: PathMap | None = None
) -> bytes:
    """The event for the run queue, of at most ``largest`` bytes: a larger one names a document in ``folder``.

    The document is named by its digest, and ``mapping`` says where a worker finds the folder. Publishing a run twice
    names the same document, and is still one run.

    Raises ``PermanentError``: ``event_too_large`` without a folder; ``event_invalid``, ``destination_unwritable``,
    ``disk_full``.
    """
    wire = event.to_wire()
    if len(wire) <= largest:
        return wire
    if folder is None:
        raise PermanentError(
            ErrorCode.EVENT_TOO_LARGE,
            f"The event has {len(wire)} bytes; workers read at most {largest}.",
            fix="Give a folder that the workers can read, and its data goes there: data_folder of publish, stage_to of "
            "publish_output, --stage-to DIRECTORY. Or publish fewer nodes.",
        )
    with uncollected():
        fields = from_json(wire)
        data = canonical_json(fields.pop("data"))
    digest = hashlib.sha256(data).hexdigest()
    place = Path(folder).absolute() / f"{digest}.json"
    _write(place, data)
    named = mapping(str(place)) if mapping else str(place)
    reference = RunFinishedByReference.model_validate(fields | {"dataref": named, "datarefsha256": digest})
    return canonical_json(reference.model_dump(mode="json", exclude_none=True))


def _write(place: Path, data: bytes) -> None:
    """A file that has its name only once it is whole and on disk."""
    unfinished = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
    with writing_to(place.parent, "An event's data"):
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with unfinished.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(place)
            sync_folder(place.parent)
        finally:
            unfinished.unlink(missing_ok=True)
