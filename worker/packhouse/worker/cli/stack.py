"""Where the worker's commands find settings: the environment, or a stack that runs on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import click
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from packhouse.schemas.errors import ErrorCode, PermanentError, TransientError
from packhouse.worker.ledger import LedgerVersionError, connect
from packhouse.worker.setting_files import SECRETS_DIR
from packhouse.worker.settings import Settings, load

_REDIS_URL: Final = "PACKHOUSE_REDIS_URL"
_DATA_DIR: Final = ".packhouse"
_ENV_FILE: Final = "env"

_Command = TypeVar("_Command", bound=Callable[..., Any])


def data_dir_option(command: _Command) -> _Command:
    """Which stack is meant."""
    return click.option(
        "--data-dir",
        type=click.Path(path_type=Path),
        help="The data folder of a stack that `packhouse up` runs on this machine; else the settings are those of "
        f"the environment, and without {_REDIS_URL} there, those in .packhouse.",
    )(command)


def settings_of(data_dir: Path | None) -> Settings:
    """The settings of the environment, or those that a local stack wrote into its data folder.

    A stack's settings become this process's environment: the Azure libraries look there too. Raises
    ``PermanentError``.
    """
    if data_dir is not None or not any(
        os.environ.get(name) for name in (_REDIS_URL, f"{_REDIS_URL}_FILE", SECRETS_DIR)
    ):
        path = (data_dir or Path(_DATA_DIR)) / _ENV_FILE
        try:
            lines = path.read_text("utf-8").splitlines()
        except (OSError, UnicodeError) as error:
            if data_dir is not None:
                raise PermanentError(
                    ErrorCode.CONFIGURATION_INVALID,
                    f"{path} cannot be read: {error}.",
                    fix="Give the data folder of a stack that packhouse up has started.",
                ) from error
            lines = []
        pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
        os.environ.update({name: value for name, _, value in pairs if value})
    return load()


@contextmanager
def server(settings: Settings, *, decode: bool = True) -> Generator[Redis]:
    """A client of the server, which answers, in text or as it is.

    Raises ``TransientError`` (``connection_failed``) where it stops to, and ``PermanentError``
    (``configuration_invalid``) where it refuses this user.
    """
    redis = connect(settings.redis_url, patient=False, timeout=10.0, decode=decode)
    try:
        redis.ping()
        yield redis
    except LedgerVersionError as error:
        raise error.explained from error
    except (AuthenticationError, NoPermissionError, ResponseError) as error:
        raise PermanentError(
            ErrorCode.CONFIGURATION_INVALID,
            f"The server at {shown(settings.redis_url)} refuses: {error}",
            fix="Use the address of a user that may do this: operator, or worker.",
        ) from error
    except RedisError as error:
        raise TransientError(
            ErrorCode.CONNECTION_FAILED,
            f"The server at {shown(settings.redis_url)} does not answer: {error}",
            fix="Check PACKHOUSE_REDIS_URL where it is set, and that the server runs (packhouse up starts one).",
        ) from error
    finally:
        redis.close()


def shown(redis_url: str) -> str:
    """The server's address for people, without user and password."""
    return urlsplit(redis_url).netloc.rpartition("@")[2] or redis_url.rpartition("@")[2]
