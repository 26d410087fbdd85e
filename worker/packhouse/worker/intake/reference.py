"""Events that say where their data lies instead of holding it, by the CloudEvents extension ``dataref``."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pydantic_core import from_json

from packhouse.schemas.base import canonical_json, is_url
from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.events import RunFinishedByReference
from packhouse.schemas.paths import PathMap
from packhouse.worker.storage.failures import said
from packhouse.worker.storage.location import Location
from packhouse.worker.storage.readable import Readable, must_be_unchanged, read_full
from packhouse.worker.storage.storage import Storage

_FIELD = "dataref"
_REFERENCE = f'"{_FIELD}"'


@dataclass(frozen=True)
class Resolved:
    """An event with the data that it referred to."""

    text: str
    sha256: str
    """Of the document, byte by byte."""


def reference_in(event: str) -> RunFinishedByReference | None:
    """The reference of an event without data; None for one that has its data. The envelope has been checked."""
    if _REFERENCE not in event:
        return None
    fields = from_json(event)
    return None if fields.get("data") is not None else RunFinishedByReference.model_validate(_without_data(fields))


def resolve(
    event: str, reference: RunFinishedByReference, storage: Storage, mapping: PathMap, longest: int
) -> Resolved:
    """The event as if it had come with its data. ``longest`` is in bytes.

    A path is taken as the engine's view, for what else it might be is in the data; what no rule maps stays.

    Raises ``PermanentError``: ``event_too_large``, ``event_not_json``, ``event_invalid`` where the document is not of
    the digest announced, ``output_not_found``; and what ``Storage.open_file`` raises.
    """
    ref = reference.dataref
    location = Location(ref if is_url(ref) else mapping(ref), ref)
    with storage.open_file(location, missing=ErrorCode.OUTPUT_NOT_FOUND) as file:
        data = _read(file, longest)
    sha256 = hashlib.sha256(data).hexdigest()
    if reference.datarefsha256 not in (None, sha256):
        raise PermanentError(
            ErrorCode.EVENT_INVALID,
            f"{said(ref)} has the SHA-256 {sha256}, and the event announces {reference.datarefsha256}.",
            fix="Do not change the document after publishing, or publish again with its digest.",
            field="datarefsha256",
        )
    envelope = canonical_json(_without_data(from_json(event))).decode()
    return Resolved(f'{envelope[:-1]},"data":{_object(data, ref)}}}', sha256)


def _without_data(fields: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if name != "data"}


def _read(file: Readable, longest: int) -> bytes:
    if file.size > longest:
        raise PermanentError(
            ErrorCode.EVENT_TOO_LARGE,
            f"{said(file.shown)} has {file.size} bytes; the most is {longest}.",
            fix="Send fewer nodes, or let the operator raise PACKHOUSE_MAX_DATAREF_BYTES.",
            field=_FIELD,
        )
    file.read_ahead()
    data = read_full(file, memoryview(bytearray(file.size)), 0).tobytes()
    must_be_unchanged(file)
    return data


def _object(data: bytes, ref: str) -> str:
    """The document as text, seen to be one JSON object."""
    try:
        text = data.decode("utf-8")
        value = from_json(text)
    except (UnicodeDecodeError, ValueError) as error:
        reason = str(error)
    else:
        if isinstance(value, dict):
            return text
        reason = f"it is a {type(value).__name__}, not an object"
    raise PermanentError(
        ErrorCode.EVENT_NOT_JSON,
        f"{said(ref)} does not hold the data of an event: {reason}.",
        fix="Let dataref name a JSON object, encoded as UTF-8: what the event would have as its data.",
        field=_FIELD,
    )
