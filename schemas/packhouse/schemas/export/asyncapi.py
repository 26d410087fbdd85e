"""The queues at the border as an AsyncAPI 3.0.0 document, seen from Packhouse: it receives runs and sends status.

Source of the format: the AsyncAPI specification 3.0.0.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from pydantic_core import from_json

from packhouse.schemas.base import Document
from packhouse.schemas.events import RunFinished, RunFinishedByReference
from packhouse.schemas.export.example import run_finished_example
from packhouse.schemas.keys import DEFAULT_NAMESPACE, FIELD, Keys
from packhouse.schemas.status import (
    AcceptedEvent,
    CompletedEvent,
    PackageDelayedEvent,
    PackageFailedEvent,
    PackageProgressEvent,
    PackageStartedEvent,
    PackageSucceededEvent,
    RejectedEvent,
    ReopenedEvent,
)

VERSION: Final = "1.0.0"
"""Version of the contract, and not of the program."""

_KEYS: Final = Keys()

_CHANNELS: Final[dict[str, tuple[str, str, str, tuple[type[Document], ...]]]] = {
    "runs": (
        _KEYS.run_queue,
        "Run queue",
        "Finished runs, sent by engines. One XADD publishes a run.",
        (RunFinished, RunFinishedByReference),
    ),
    "status": (
        _KEYS.status,
        "Status queue",
        (
            "What becomes of each run. The last event of a run is packaging.rejected or packaging.completed; its id is "
            "derived from the run, so that a reader can drop a second copy. That event is also kept under the key "
            "{packhouse}:final:<first 32 hexadecimal digits of the SHA-256 of source, NUL, subject>. Where an operator "
            "has failed packages made again, packaging.reopened follows and takes its place under the key until the "
            "round ends with a packaging.completed of its own, whose id and data.round have the round's number."
        ),
        (
            AcceptedEvent,
            PackageStartedEvent,
            PackageDelayedEvent,
            PackageSucceededEvent,
            PackageFailedEvent,
            ReopenedEvent,
            RejectedEvent,
            CompletedEvent,
        ),
    ),
    "progress": (
        _KEYS.progress,
        "Progress",
        "How far each package is; a stream of its own, so that it cannot push final events out.",
        (PackageProgressEvent,),
    ),
}


def asyncapi_document() -> dict[str, Any]:
    """The document, deterministic."""
    models = [model for *_, models in _CHANNELS.values() for model in models]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Packhouse",
            "version": VERSION,
            "description": "Ranks the candidate models of finished optimization runs and packages them. "
            f"Every message is a CloudEvent 1.0 in JSON, the one field `{FIELD}` of an entry of a Redis Stream.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/cloudevents+json",
        "servers": {
            "local": {
                "host": "127.0.0.1:6379",
                "protocol": "redis",
                "description": "A Redis or Valkey server of version 6.2 or later.",
            }
        },
        "channels": {name: _channel(*channel) for name, channel in _CHANNELS.items()},
        "operations": {
            "receiveRuns": _operation("receive", "runs", "Takes a finished run and packages it."),
            "sendStatus": _operation("send", "status", "Says what became of a run and of each package."),
            "sendProgress": _operation("send", "progress", "Says how far a package is."),
        },
        "components": {
            "messages": {model.__name__: _message(model) for model in models},
            "schemas": _schemas(models),
        },
    }


def _channel(key: str, title: str, description: str, models: tuple[type[Document], ...]) -> dict[str, Any]:
    address = key.replace(_KEYS.prefix, "{namespace}:")
    return {
        "address": address,
        "title": title,
        "description": description,
        "parameters": {
            "namespace": {
                "description": "The namespace in braces, which are a part of the key: all keys have one hash tag.",
                "default": f"{{{DEFAULT_NAMESPACE}}}",
            }
        },
        "servers": [{"$ref": "#/servers/local"}],
        "messages": {model.__name__: {"$ref": f"#/components/messages/{model.__name__}"} for model in models},
        "x-redis": {"type": "stream", "key": key, "field": FIELD},
    }


def _operation(action: str, channel: str, summary: str) -> dict[str, Any]:
    names = [model.__name__ for model in _CHANNELS[channel][3]]
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in names],
    }


def _message(model: type[BaseModel]) -> dict[str, Any]:
    message: dict[str, Any] = {
        "name": model.model_fields["type"].default,
        "title": model.__name__,
        "summary": (model.__doc__ or "").strip().splitlines()[0].replace("``", "`"),
        "contentType": "application/cloudevents+json",
        "payload": {"$ref": f"#/components/schemas/{model.__name__}"},
    }
    if model is RunFinished:
        message["examples"] = [{"payload": from_json(run_finished_example().to_wire())}]
    return message


def _schemas(models: list[type[Document]]) -> dict[str, Any]:
    _, schema = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
    )
    return dict(sorted(schema["$defs"].items()))
