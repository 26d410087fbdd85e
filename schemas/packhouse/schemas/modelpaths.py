"""Which paths a model config names, and how to name others in their place.

Source of the keys: the model handlers of Olive 0.6 to 0.13 and what their ``to_json`` writes. A path there is a
string, or a typed resource ``{"type": "file" | "folder", "config": {"path": …}}``. A composite holds configs of
components, which may be composites again.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeAlias

from pydantic import JsonValue

from packhouse.schemas.base import is_absolute

KeyPath: TypeAlias = tuple[str | int, ...]
"""Keys and indices that lead from one JSON value to another inside it."""

MODEL_PATH: Final = "model_path"
SCRIPT_DIR: Final = "script_dir"
"""A folder with the modules that a script needs: it may be any folder of the engine's user."""
ONNX_FILE_NAME: Final = "onnx_file_name"
EXTERNAL_INITIALIZERS: Final = "external_initializers_file_name"
CONSTANT_INPUTS: Final = "constant_inputs_file_name"
"""These three name files relative to the model's folder."""
COMPONENTS: Final = "model_components"
_COMPONENT_NAMES: Final = "model_component_names"
_ATTRIBUTES: Final = "model_attributes"
_ADDITIONAL: Final = "additional_files"
_LOCAL_RESOURCES: Final = {"file", "folder", "local_file", "local_folder"}
_MOST_COMPONENTS: Final = 1000
_MAX_DEPTH: Final = 8


class PathRole(StrEnum):
    """What lies at a path of a model config."""

    MODEL = "model"
    """The model: a file or a folder."""
    PART = "part"
    """Something that the model is not whole without: an adapter, a script that opens it."""
    ADDITIONAL = "additional"
    """A file that travels with the model: a tokenizer, ``genai_config.json``."""


_PARTS: Final = ("adapter_path", SCRIPT_DIR, "model_script", "test_model_path")


@dataclass(frozen=True)
class ConfigPath:
    """A path in a model config, or the name of something that is no path."""

    at: KeyPath
    """Where in the config it stands."""
    role: PathRole
    path: str

    @property
    def is_absolute(self) -> bool:
        """Whether the path says where it is by itself."""
        return is_absolute(self.path)


@dataclass(frozen=True)
class Component:
    """One of the models that a composite is made of."""

    name: str
    type: str
    at: KeyPath
    """Where in the composite's config the component's own config stands."""
    config: Mapping[str, JsonValue]


def models_in(type_: str, config: Mapping[str, Any]) -> Iterator[Component]:
    """A model and, of a composite, every component at any depth, each after what it is part of.

    Raises ``ValueError`` as ``components``, and for composites nested too deep.
    """
    yield from _models(Component("", type_, (), config), 0)


def own_paths(config: Mapping[str, Any]) -> Iterator[ConfigPath]:
    """Every path that a model config names itself: those of components stand in their own configs."""
    for key, role in ((MODEL_PATH, PathRole.MODEL), *((key, PathRole.PART) for key in _PARTS)):
        if (path := local_path(config.get(key))) is not None:
            yield ConfigPath((key,), role, path)
    attributes = config.get(_ATTRIBUTES)
    files = attributes.get(_ADDITIONAL) if isinstance(attributes, dict) else None
    for number, path in enumerate(files if isinstance(files, list) else []):
        if isinstance(path, str) and path:
            yield ConfigPath((_ATTRIBUTES, _ADDITIONAL, number), PathRole.ADDITIONAL, path)


def local_path(value: Any) -> str | None:
    """The path that a config names by a string or as a typed resource; None for anything else."""
    if isinstance(value, dict) and value.get("type") in _LOCAL_RESOURCES:
        inner = value.get("config")
        value = inner.get("path") if isinstance(inner, dict) else None
    return value if isinstance(value, str) and value else None


def components(config: Mapping[str, Any]) -> list[Component]:
    """The components of a composite's config, in order; none for any other.

    Their names are those of ``model_component_names``, or stand in each component (Olive 0.6's
    ``CompositePyTorchModel``); without one, ``component_<number>``. Raises ``ValueError`` for what is no component.
    """
    listed = config.get(COMPONENTS)
    if not isinstance(listed, list):
        return []
    if len(listed) > _MOST_COMPONENTS:
        raise ValueError(f"{COMPONENTS} holds more than {_MOST_COMPONENTS} models")
    names = config.get(_COMPONENT_NAMES)
    found: list[Component] = []
    for number, each in enumerate(listed):
        kind = each.get("type") if isinstance(each, dict) else None
        inner = each.get("config") if isinstance(each, dict) else None
        if not isinstance(kind, str) or not isinstance(inner, dict):
            raise ValueError(f"{COMPONENTS}.{number} has no type and config")  # noqa: TRY004 (a bad value)
        own = names[number] if isinstance(names, list) and number < len(names) else each.get("name")
        name = own if isinstance(own, str) and own else f"component_{number}"
        found.append(Component(name, kind, (COMPONENTS, number, "config"), inner))
    return found


class _EveryName:
    def __contains__(self, name: object) -> bool:
        return True


def given_tensors(config: Mapping[str, Any]) -> Container[str]:
    """The tensors of an ONNX model that a session is given beside it, from ``external_initializers_file_name``.

    Olive leaves them external in the graph under a file name that means nothing, and lists them in the model's
    attributes; every name is in what comes back where it lists none.
    """
    if not config.get(EXTERNAL_INITIALIZERS):
        return ()
    attributes = config.get(_ATTRIBUTES)
    names = attributes.get("external_initializers") if isinstance(attributes, dict) else None
    return names if isinstance(names, dict) else _EveryName()


def replaced(config: Mapping[str, JsonValue], values: Mapping[KeyPath, JsonValue]) -> dict[str, JsonValue]:
    """The config with other values in these places. The one given stays as it is."""
    copy = _replaced(dict(config), values, ())
    if not isinstance(copy, dict):
        raise TypeError("a config is an object")
    return copy


def _models(model: Component, depth: int) -> Iterator[Component]:
    if depth > _MAX_DEPTH:
        raise ValueError(f"composites are nested more than {_MAX_DEPTH} deep")
    yield model
    for each in components(model.config):
        yield from _models(Component(each.name, each.type, (*model.at, *each.at), each.config), depth + 1)


def _replaced(value: JsonValue, values: Mapping[KeyPath, JsonValue], at: KeyPath) -> JsonValue:
    if at in values:
        return values[at]
    here = {key[len(at)] for key in values if len(key) > len(at) and key[: len(at)] == at}
    if isinstance(value, dict):
        copy = {key: _replaced(item, values, (*at, key)) if key in here else item for key, item in value.items()}
        added = {key: values[*at, key] for key in here if isinstance(key, str) and (*at, key) in values}
        return copy | added
    if isinstance(value, list):
        return [_replaced(item, values, (*at, number)) if number in here else item for number, item in enumerate(value)]
    return value
