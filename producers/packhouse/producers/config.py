"""Where the commands find the stack."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.events import MAX_EVENT_BYTES
from packhouse.schemas.keys import DEFAULT_NAMESPACE
from packhouse.schemas.signing import SigningKey

REDIS_URL: Final = "PACKHOUSE_REDIS_URL"
NAMESPACE: Final = "PACKHOUSE_NAMESPACE"
SIGNING_KEY: Final = "PACKHOUSE_SIGNING_KEY"
EVENT_BYTES: Final = "PACKHOUSE_MAX_EVENT_BYTES"
DATA_DIR: Final = ".packhouse"
"""Where ``packhouse up`` keeps its state, relative to the working directory."""
ENV_FILE: Final = "env"
"""The file in the data folder in which a stack says how it is reached: lines ``KEY=value``."""


@dataclass(frozen=True)
class Stack:
    """How a stack is reached."""

    redis_url: str
    namespace: str = DEFAULT_NAMESPACE


def find_stack(
    redis_url: str | None = None,
    namespace: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Stack:
    """The stack of the options; else of the environment; else of the default data folder.

    A data folder that is given is an option, and so goes before the environment. The namespace comes from where the
    address comes from, unless it is given. Raises ``PermanentError`` (``configuration_invalid``).
    """
    if redis_url:
        return Stack(redis_url, namespace or environ.get(NAMESPACE) or DEFAULT_NAMESPACE)
    if data_dir is None and environ.get(REDIS_URL):
        return Stack(environ[REDIS_URL], namespace or environ.get(NAMESPACE) or DEFAULT_NAMESPACE)
    path = Path(data_dir or DATA_DIR) / ENV_FILE
    settings = read_env(path)
    if not settings.get(REDIS_URL):
        raise PermanentError(
            ErrorCode.CONFIGURATION_INVALID,
            f"{path} does not say {REDIS_URL}." if settings else f"There is no running stack: no file {path}.",
            fix=f"Run packhouse up, or set {REDIS_URL} (or --redis-url) to the address of the server.",
        )
    return Stack(settings[REDIS_URL], namespace or settings.get(NAMESPACE) or DEFAULT_NAMESPACE)


def find_signing_key(environ: Mapping[str, str] = os.environ) -> SigningKey | None:
    """The key of ``PACKHOUSE_SIGNING_KEY``, or of the file that ``PACKHOUSE_SIGNING_KEY_FILE`` names; None without.

    Raises ``PermanentError`` (``configuration_invalid``).
    """
    text, file = environ.get(SIGNING_KEY), environ.get(f"{SIGNING_KEY}_FILE")
    try:
        if file and not text:
            text = Path(file).read_text("utf-8")
        return SigningKey.parse(text) if text else None
    except (OSError, ValueError) as error:
        raise PermanentError(
            ErrorCode.CONFIGURATION_INVALID,
            f"{SIGNING_KEY} is wrong: {error}.",
            fix="Set it to id:secret, or leave it away where events are not signed.",
        ) from None


def find_max_event_bytes(environ: Mapping[str, str] = os.environ) -> int:
    """``PACKHOUSE_MAX_EVENT_BYTES``, for workers that have it too; else what workers read without it.

    Raises ``PermanentError`` (``configuration_invalid``).
    """
    text = environ.get(EVENT_BYTES) or str(MAX_EVENT_BYTES)
    if not (text.isascii() and text.isdecimal()):
        raise PermanentError(
            ErrorCode.CONFIGURATION_INVALID,
            f"{EVENT_BYTES} is {text[:80]!r}, and no number of bytes.",
            fix="Set it as it is set for the workers, or leave it away.",
        )
    return int(text)


def read_env(path: Path) -> dict[str, str]:
    """The settings in a file of lines ``KEY=value``; ``#`` begins a comment line. None where there is no file."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeError) as error:
        raise PermanentError(
            ErrorCode.CONFIGURATION_INVALID, f"{path} cannot be read: {error}.", fix="Run packhouse up anew."
        ) from error
    pairs = (line.partition("=") for line in lines if line.strip() and not line.lstrip().startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}
