"""A model as an engine describes it, and where it is to be laid out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from packhouse.schemas.base import is_absolute
from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.modelpaths import COMPONENTS, MODEL_PATH, Component, KeyPath, local_path
from packhouse.worker.storage.failures import forbidden, said

_FROM_HUBS: Final = ("hf", "huggingface", "diffusers", "distributedhf")


@dataclass(frozen=True)
class Described:
    """A model, or a component of one."""

    type: str
    config: Mapping[str, Any]
    at: KeyPath = ()
    """Where its config stands in that of the candidate."""
    prefix: str = ""
    """Folder that it is laid out in, relative to the candidate's: empty, or ending in a slash."""
    component: str | None = None
    """Name of the component that it is; of a component of a component, both with a slash between."""

    @property
    def kind(self) -> str:
        """The type in lower case."""
        return self.type.lower()

    @property
    def is_composite(self) -> bool:
        """Whether it is made of several models."""
        return isinstance(self.config.get(COMPONENTS), list)

    @property
    def place(self) -> str:
        """Its folder without the slash."""
        return self.prefix.rstrip("/")

    def of(self, component: Component, prefix: str) -> Described:
        """A component of this one, laid out in a folder."""
        name = f"{self.component}/{component.name}" if self.component else component.name
        return Described(component.type, component.config, (*self.at, *component.at), prefix, name)

    def key(self, name: str) -> KeyPath:
        """Where a value of its config stands in the candidate's."""
        return (*self.at, name)

    def path(self) -> str:
        """Its ``model_path``. Raises ``PermanentError`` for what is no place on disk."""
        value = self.config.get(MODEL_PATH)
        path = local_path(value)
        if path is None:
            raise self.unsupported(_said_of(value))
        if is_absolute(path):
            return path
        if self.kind.startswith(_FROM_HUBS):
            raise self.unsupported(
                f"has the model_path {said(path)!r}, the name of a model on a hub and no place on disk"
            )
        raise forbidden(path, "is no absolute path: it depends on where the engine ran")

    def unsupported(self, clause: str, *, field: str = MODEL_PATH) -> PermanentError:
        """The error for a model that cannot be packaged; the clause says why."""
        which = f"The component {self.component!r}, a" if self.component else "A"
        return PermanentError(
            ErrorCode.MODEL_TYPE_UNSUPPORTED,
            f"{which} model of type {self.type}, {clause}, and cannot be packaged.",
            fix="Let the engine save the model as files of its own, and name their file or folder.",
            field=".".join(str(key) for key in self.key(field)),
        )


def _said_of(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else None
    if isinstance(kind, str):
        return f"lies in a place of type {kind[:100]!r} and not on disk"
    return "names no file or folder as its model_path"
