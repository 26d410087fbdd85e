"""The envelope of all events: CloudEvents 1.0 in the JSON format.

Source: the CloudEvents specification 1.0.2 and its JSON event format.
"""

# Annotations are not deferred here: pydantic 2.12 looks up a deferred one of __pydantic_extra__ in the modules of
# subclasses, which do not know its names.
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, ConfigDict, Field, JsonValue, StringConstraints, WithJsonSchema

from packhouse.schemas.base import Document, Text

_EXTENSION = r"^[a-z0-9]{1,20}$"


def _extension(name: str) -> str:
    if not re.match(_EXTENSION, name):
        raise ValueError(
            f"{name[:40]!r} is neither an attribute of this event nor the name of a CloudEvents extension "
            "(lower-case letters and digits, at most 20)"
        )
    return name


ExtensionName = Annotated[str, AfterValidator(_extension), WithJsonSchema({"type": "string", "pattern": _EXTENSION})]
"""Name of an extension attribute: up to 20 lower-case letters and digits, as CloudEvents has them."""

RunId = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""A run's id: up to 256 characters without control characters."""


class RunRef(Document):
    """A run's full name: who ran it, and the id it has there."""

    source: Text
    id: RunId

    def __str__(self) -> str:
        return f"{self.id} of {self.source}"


class CloudEvent(Document):
    """The envelope that events in both directions share. ``source`` and ``subject`` together name a run."""

    model_config = ConfigDict(extra="allow")

    __pydantic_extra__: dict[ExtensionName, JsonValue] = Field(init=False)

    specversion: Literal["1.0"] = "1.0"
    id: Text
    source: Text
    type: Text
    subject: RunId
    time: AwareDatetime | None = None
    datacontenttype: Literal["application/json"] = "application/json"

    @property
    def run(self) -> RunRef:
        """The run that the event is about."""
        return RunRef(source=self.source, id=self.subject)
