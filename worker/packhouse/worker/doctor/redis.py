"""The server with the streams and the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from redis import Redis
from redis.exceptions import AuthenticationError, RedisError

from packhouse.worker.cli.stack import shown
from packhouse.worker.doctor.finding import Finding, failed, ok, warning
from packhouse.worker.ledger import LedgerVersionError, connect
from packhouse.worker.ledger.version import VERSION, refuse_unknown
from packhouse.worker.settings import Settings

_LEAST: Final = (7, 0)
"""Scripts with flags, which may run where memory is short, came with Redis 7.0; Valkey has always had them."""


def check_redis(settings: Settings) -> Iterator[Finding]:
    """Whether it answers, is new enough, keeps what it is given, and forgets nothing by itself."""
    try:
        redis = connect(settings.redis_url, patient=False, timeout=5.0)
    except ValueError as error:
        yield failed("redis", f"{shown(settings.redis_url)} is no address of a server: {error}.", _ADDRESS)
        return
    try:
        info = cast("Mapping[str, Any]", redis.info("everything"))
        yield _version(info, settings)
        yield _persistence(info)
        yield _memory(redis, info)
        yield _writable(redis, settings)
        yield _ledger_version(redis, settings)
    except AuthenticationError as error:
        yield failed(
            "redis", f"The server at {shown(settings.redis_url)} refuses the user or password: {error}.", _USER
        )
    except RedisError as error:
        yield failed("redis", f"The server at {shown(settings.redis_url)} does not answer: {error}.", _ADDRESS)
    finally:
        redis.close()


_ADDRESS: Final = "Start the server, or correct PACKHOUSE_REDIS_URL (redis://HOST:PORT/0, rediss:// for TLS)."
_USER: Final = "Correct user and password in PACKHOUSE_REDIS_URL, or the server's access list."


def _version(info: Mapping[str, Any], settings: Settings) -> Finding:
    valkey = info.get("valkey_version")
    name, version = ("Valkey", str(valkey)) if valkey else ("Redis", str(info.get("redis_version", "0")))
    where = f"{name} {version} at {shown(settings.redis_url)}"
    if not valkey and tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < _LEAST:
        return failed("redis", f"{where} is too old.", "Use Redis 7.0 or later, or Valkey.")
    return ok("redis", f"{where} answers.")


def _persistence(info: Mapping[str, Any]) -> Finding:
    name = "persistence"
    if not info.get("aof_enabled"):
        return warning(
            name,
            "The server keeps no append-only file: what was published is lost when it stops.",
            "Set appendonly to yes, unless the service that runs it keeps its data otherwise.",
        )
    if info.get("aof_last_write_status", "ok") != "ok" or info.get("aof_last_bgrewrite_status", "ok") != "ok":
        return failed(name, "The server cannot write its append-only file.", "Look at its log and its disk.")
    return ok(name, "The server keeps an append-only file.")


def _memory(redis: Redis, info: Mapping[str, Any]) -> Finding:
    name = "memory"
    policy = str(info.get("maxmemory_policy") or _configured(redis, "maxmemory-policy") or "")
    limit = int(info.get("maxmemory") or 0)
    if policy and policy != "noeviction":
        return failed(
            name,
            f"The server may throw keys away when memory is short (maxmemory-policy {policy}): runs would be lost.",
            "Set maxmemory-policy to noeviction.",
        )
    used = int(info.get("used_memory") or 0)
    if limit and used > 0.9 * limit:
        return warning(name, f"{used} of {limit} bytes are in use.", "Raise maxmemory.")
    return ok(name, "The server throws nothing away" + (f"; {used} of {limit} bytes are in use." if limit else "."))


def _configured(redis: Redis, name: str) -> str | None:
    try:
        return cast("dict[str, str]", redis.config_get(name)).get(name)
    except RedisError:
        return None


def _writable(redis: Redis, settings: Settings) -> Finding:
    key = f"{{{settings.namespace}}}:doctor"
    try:
        redis.set(key, "1", ex=10)
        redis.delete(key)
    except RedisError as error:
        return failed(
            "ledger",
            f"The server does not let {settings.namespace} write: {error}.",
            "Give its user the commands and the keys, or choose the namespace that it has by PACKHOUSE_NAMESPACE.",
        )
    return ok("ledger", f"Keys of the namespace {settings.namespace} can be written.")


def _ledger_version(redis: Redis, settings: Settings) -> Finding:
    """Asked without a script: those would raise the number, and older workers would end."""
    name = "ledger version"
    found = cast("str | None", redis.get(f"{{{settings.namespace}}}:version"))
    if found is None:
        return ok(name, f"No worker has numbered the ledger yet; this release writes version {VERSION}.")
    try:
        refuse_unknown(int(found))
    except LedgerVersionError as error:
        return failed(name, error.explained.message, error.explained.fix or "")
    return ok(name, f"The ledger is of version {found}.")
