"""What every document of the contract has in common."""

from __future__ import annotations

import gc
import hashlib
import json
import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated, Any, dataclass_transform

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

_WINDOWS_DRIVE = re.compile(r"^[A-Za-z]:[\\/]")
_URL = re.compile(r"^(https|azureml)://[^/]+/")


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(Field,))
class Document(BaseModel):
    """A frozen JSON document that knows all of its fields: an unknown one is an error, not noise.

    Numbers that JSON cannot say travel as the strings ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


@contextmanager
def uncollected() -> Generator[None]:
    """Without the search for cycles of garbage, for work that makes very many objects that stay.

    Each search walks through all of them, and finds nothing: reading 100,000 nodes takes three times as long with it.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def canonical_json(value: Any) -> bytes:
    """One spelling for one value: keys sorted, no spaces, UTF-8. Equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def content_digest(value: Any) -> str:
    """``sha256:<hex>`` of the canonical JSON of a value."""
    return "sha256:" + hashlib.sha256(canonical_json(value)).hexdigest()


def is_absolute(path: str) -> bool:
    """Whether a path says where it is by itself: POSIX, Windows (drive or share), or a URL of a blob."""
    return path.startswith(("/", "\\\\")) or bool(_WINDOWS_DRIVE.match(path) or _URL.match(path))


def is_url(path: str) -> bool:
    """Whether a path is the address of a blob and not of a file."""
    return bool(_URL.match(path))


def _absolute(path: str) -> str:
    if "\0" in path:
        raise ValueError("a path cannot hold a NUL character")
    if not is_absolute(path):
        raise ValueError(
            "must be an absolute path (/…, C:\\…, \\\\host\\…) or the address of a blob (https://…, azureml://…)"
        )
    if is_url(path) and "?" in path:
        raise ValueError("an address must have no query: what gives access to a blob must not travel in an event")
    return path


def _below_root(path: str) -> str:
    if not path.strip("/\\").strip() or re.fullmatch(r"[A-Za-z]:[\\/]*", path):
        raise ValueError("must be a directory below the root of a file system, not the root itself")
    return path


AbsolutePath = Annotated[str, StringConstraints(min_length=1, max_length=4096), AfterValidator(_absolute)]
"""An absolute path or blob address, of at most 4096 characters."""

Directory = Annotated[AbsolutePath, AfterValidator(_below_root)]
"""An absolute path that is not the root of a file system."""

Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
"""``sha256:`` and 64 hexadecimal digits."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
"""One to 1024 characters."""
