"""Azure ML's documents, held against the SDK's own models of them: what these do not know cannot slip in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

from azure.ai.ml._restclient.arm_ml_service import models
from azure.ai.ml._restclient.arm_ml_service._utils.model_base import Model

M = TypeVar("M", bound=Model)
_TEXTS: Final = ("tags", "properties")


class UnknownField(Exception):
    """A document has a field that Azure does not know, or one of another kind than Azure's."""


def read(kind: type[M], document: Any) -> M:
    """A request's document. Raises ``UnknownField``."""
    if not isinstance(document, dict):
        raise UnknownField("The body is not a JSON object.")
    _check_texts(document)
    try:
        made = kind(document)
        _check(made, "$")
    except (TypeError, ValueError, AttributeError) as error:
        raise UnknownField(f"The body is no {kind.__name__}: {error}") from error
    return made


def write(document: Model) -> dict[str, Any]:
    """The JSON of an answer. Raises ``UnknownField``."""
    _check(document, "$")
    return document.as_dict()


def _check(document: Model, where: str) -> None:
    # The models keep unknown fields and say nothing; what they do know only these private tables tell.
    table = document._attr_to_rest_field  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    fields = {field._rest_name: name for name, field in table.items()}  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    if unknown := sorted(set(document) - set(fields)):
        raise UnknownField(f"{where}.{unknown[0]} is not a field of {type(document).__name__}.")
    for name in document:
        for part, model in _models(getattr(document, fields[name])):
            _check(model, f"{where}.{name}{part}")


def _check_texts(document: Mapping[str, Any]) -> None:
    """Tags and properties of an asset are strings. The models would make strings of anything."""
    asset = document.get("properties")
    if not isinstance(asset, Mapping):
        return
    for name in _TEXTS:
        for key, text in (asset.get(name) or {}).items():
            if not isinstance(text, str):
                raise UnknownField(f"$.properties.{name}.{key} is not a string.")


def _models(value: Any) -> Iterable[tuple[str, Model]]:
    if isinstance(value, Model):
        yield "", value
    elif isinstance(value, Mapping):
        yield from ((f".{key}", one) for key, one in value.items() if isinstance(one, Model))
    elif isinstance(value, list):
        yield from ((f"[{place}]", one) for place, one in enumerate(value) if isinstance(one, Model))


__all__ = ["UnknownField", "models", "read", "write"]
