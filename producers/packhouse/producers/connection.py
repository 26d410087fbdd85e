"""Talking to the server: one way to connect, and its errors as ours."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from urllib.parse import urlsplit

from redis import Redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    TryAgainError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)
from redis.retry import Retry

from packhouse.schemas.errors import ErrorCode, PermanentError, TransientError

PASSING = (
    RedisConnectionError,
    RedisTimeoutError,
    BusyLoadingError,
    ReadOnlyError,
    OutOfMemoryError,
    ClusterDownError,
    TryAgainError,
)
"""What may pass by itself: no connection, a server that starts, fails over, or is full."""

_REFUSED = (AuthenticationError, AuthorizationError, NoPermissionError)
_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 30.0
_RETRIES = 2


def connect(redis: Redis | str) -> Redis:
    """A client for an address, or the client that was given. Raises ``PermanentError`` for what is no address."""
    if isinstance(redis, Redis):
        return redis
    try:
        return Redis.from_url(
            redis,
            socket_connect_timeout=_CONNECT_SECONDS,
            socket_timeout=_ANSWER_SECONDS,
            retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.5), _RETRIES),
        )
    except ValueError as error:
        raise PermanentError(
            ErrorCode.CONFIGURATION_INVALID,
            f"{shown(redis)} is not the address of a server: {error}.",
            fix="Give an address such as redis://127.0.0.1:6379/0 (rediss:// for TLS, unix:// for a socket).",
        ) from None


def shown(redis: Redis | str) -> str:
    """The server's address for people, without user and password."""
    if isinstance(redis, Redis):
        known = redis.connection_pool.connection_kwargs
        return str(known["path"]) if "path" in known else f"{known.get('host', '?')}:{known.get('port', '?')}"
    return urlsplit(redis).netloc.rpartition("@")[2] or redis.partition("?")[0].rpartition("@")[2]


@contextmanager
def server_errors(redis: Redis | str) -> Generator[None]:
    """Within it, what goes wrong with the server is raised as ``connection_failed`` or ``configuration_invalid``."""
    try:
        yield
    except _REFUSED as error:
        raise PermanentError(
            ErrorCode.CONFIGURATION_INVALID,
            f"The server at {shown(redis)} refuses: {error}",
            fix="Check user, password and rights (ACL) in the server's address.",
        ) from error
    except PASSING as error:
        raise TransientError(
            ErrorCode.CONNECTION_FAILED,
            f"The server at {shown(redis)} does not answer: {error}",
            fix="Check the address, and that the server runs (packhouse up starts one).",
        ) from error
    except RedisError as error:
        raise PermanentError(
            ErrorCode.CONFIGURATION_INVALID,
            f"The server at {shown(redis)} does not take the command: {error}",
            fix="Check that the address is that of a Redis or Valkey of version 6.2 or later, and the namespace yours.",
        ) from error
