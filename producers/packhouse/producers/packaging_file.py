"""Packaging configs read from a file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from packhouse.schemas.errors import ErrorCode, PermanentError, explain, invalid
from packhouse.schemas.packaging import PACKAGING_CONFIGS, PackagingConfig

_FIX = 'Write {"type": "Zipfile", "name": "OutputModels"}, a list of such objects, or give a whole Olive configuration.'


def read_packaging_configs(path: str | os.PathLike[str]) -> list[PackagingConfig]:
    """The packaging configs in a JSON file.

    The file is a packaging config, a list of them, or a whole Olive configuration, of which
    ``engine.packaging_config`` or ``packaging_config`` is taken. Raises ``PermanentError``
    (``packaging_config_invalid``), the field named.
    """
    try:
        value: Any = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise _invalid(path, "", f"cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise _invalid(path, "", f"is no JSON: {error}") from error
    return as_packaging_configs(value, str(path))


def as_packaging_configs(value: Any, where: str) -> list[PackagingConfig]:
    """The packaging configs in a value, as in the JSON of such a file. ``where`` is named in what it raises."""
    config, field = _packaging_part(value)
    if config is None:
        raise _invalid(where, "", "holds no packaging config")
    try:
        return PACKAGING_CONFIGS.validate_python(config)
    except ValidationError as error:
        raise invalid(ErrorCode.PACKAGING_CONFIG_INVALID, where, explain(error, within=field), fix=_FIX) from None


def _packaging_part(value: Any) -> tuple[Any, str]:
    """The packaging config in a document, and the field it stands under."""
    if isinstance(value, Mapping):
        engine = value.get("engine")
        if isinstance(engine, Mapping) and "packaging_config" in engine:
            return engine["packaging_config"], "engine.packaging_config"
        if "packaging_config" in value:
            return value["packaging_config"], "packaging_config"
        if "type" not in value and ("passes" in value or "input_model" in value):
            return None, ""
    return value, ""


def _invalid(path: str | os.PathLike[str], field: str, sentence: str) -> PermanentError:
    return invalid(ErrorCode.PACKAGING_CONFIG_INVALID, str(path), [(field, sentence)], fix=_FIX)
