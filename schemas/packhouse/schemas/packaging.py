"""The packaging config: what a run asks for.

Field names, types and defaults are those of Olive's ``PackagingConfig``; only the default version is for the worker to
say.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
    TypeAdapter,
    field_validator,
    model_validator,
)

from packhouse.schemas.accelerator import Accelerator
from packhouse.schemas.base import Document

NAME_LENGTH: Final = 180
"""Longest packaging name: with accelerator and rank it stays below the 255 characters of files and assets."""

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


class PackagingType(StrEnum):
    """What a package becomes."""

    ZIPFILE = "Zipfile"
    AZUREML_MODELS = "AzureMLModels"
    AZUREML_DATA = "AzureMLData"

    @property
    def slug(self) -> str:
        """The type as it stands in keys and in names of queues."""
        return self.value.lower()


_LowerCase = Literal["zipfile", "azuremlmodels", "azuremldata"]
_BY_SLUG = {member.slug: member for member in PackagingType}


def _safe_name(name: str) -> str:
    if len(name) > NAME_LENGTH:
        raise ValueError(f"is {len(name)} characters long; the most is {NAME_LENGTH}")
    if not _NAME.fullmatch(name) or _RESERVED.fullmatch(name):
        raise ValueError(
            f"{name[:80]!r} is not a safe name for files and assets: use letters, digits, '_', '-' and '.', "
            "beginning with a letter or a digit and not ending with a dot"
        )
    return name


def _version(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise ValueError("must not be negative")
        return str(value)
    return value


AssetVersion = Annotated[
    str,
    BeforeValidator(_version, json_schema_input_type=int | str),
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,29}$"),
]
"""Version of an asset: a number, or up to 30 letters, digits, ``.``, ``_``, ``-``. A number becomes text."""


class PackagingOptions(Document):
    """The ``config`` of a packaging config. ``version`` and ``description`` are for Azure ML assets only."""

    export_in_mlflow_format: bool = False
    version: AssetVersion | None = None
    """``auto`` takes the next free number. Without one, the worker's settings decide: ``1``, if they say nothing."""
    description: Annotated[str, StringConstraints(max_length=5000)] | None = None


class PackagingConfig(Document):
    """One package that a run asks for."""

    type: PackagingType
    name: str = "OutputModels"
    config: PackagingOptions = PackagingOptions()
    include_sample_code: bool = True
    include_runtime_packages: bool = True

    @field_validator("type", mode="before", json_schema_input_type=PackagingType | _LowerCase)
    @classmethod
    def _any_case(cls, value: Any) -> Any:
        known = _BY_SLUG.get(value.lower()) if isinstance(value, str) else None
        if known is None:
            raise ValueError(f"{str(value)[:80]!r} is not a packaging type; known are {', '.join(PackagingType)}")
        return known

    @field_validator("name")
    @classmethod
    def _safe(cls, value: str) -> str:
        return _safe_name(value)

    @field_validator("config", mode="before", json_schema_input_type=PackagingOptions | None)
    @classmethod
    def _none_is_default(cls, value: Any) -> Any:
        return {} if value is None else value

    @model_validator(mode="after")
    def _options_of_its_type(self) -> Self:
        plain = PackagingOptions(export_in_mlflow_format=self.config.export_in_mlflow_format)
        if self.type is PackagingType.ZIPFILE and self.config != plain:
            raise ValueError("config.version and config.description are for Azure ML assets; a Zipfile has neither")
        return self

    @property
    def title(self) -> str:
        """The package in a few words, for people: ``Zipfile OutputModels``."""
        return f"{self.type} {self.name}"

    def asset_name(self, accelerator: Accelerator, rank: int) -> str:
        """``<name>_<accelerator>_<rank in the accelerator>``, as in ``olive_output_model_cpu-cpu_1``."""
        return f"{self.name}_{accelerator}_{rank}"


def _as_list(value: Any) -> Any:
    if value is None:
        return []
    return [value] if isinstance(value, dict | PackagingConfig) else value


def _no_two_alike(configs: list[PackagingConfig]) -> list[PackagingConfig]:
    seen: set[tuple[PackagingType, str]] = set()
    for config in configs:
        key = (config.type, config.name.lower())
        if key in seen:
            raise ValueError(
                f"two packages of type {config.type} are named {config.name!r} (letter case aside): "
                "give each a name of its own"
            )
        seen.add(key)
    return configs


PackagingConfigs = Annotated[
    list[PackagingConfig],
    Field(max_length=32),
    BeforeValidator(_as_list, json_schema_input_type=PackagingConfig | list[PackagingConfig] | None),
    AfterValidator(_no_two_alike),
]
"""One packaging config or a list of them, always read as a list; none asks for no package."""

PACKAGING_CONFIGS: Final = TypeAdapter[list[PackagingConfig]](PackagingConfigs)
"""Reads the value of an engine's ``packaging_config``."""
