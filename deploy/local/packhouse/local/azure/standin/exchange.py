"""One request and its answer, as the services of the stand-in see them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote

_CHUNK = 256 * 1024


class ConnectionCut(Exception):
    """The connection is to be cut, or was: nothing more can be said on it."""


@dataclass
class Request:
    """A request whose body has not been read yet."""

    method: str
    host: str
    target: str
    """Path and query as they came."""
    headers: Mapping[str, str]
    length: int
    """Bytes of the body."""
    read: Callable[[int], bytes]
    """Reads the next bytes of the body; raises ``ConnectionCut``."""

    @property
    def path(self) -> str:
        """The path, decoded."""
        return unquote(self.target.partition("?")[0])

    @cached_property
    def query(self) -> dict[str, str]:
        """The query, the first value of each name."""
        return {
            name: values[0] for name, values in parse_qs(self.target.partition("?")[2], keep_blank_values=True).items()
        }

    def body(self) -> Iterator[bytes]:
        """The body in pieces. Raises ``ConnectionCut``."""
        left = self.length
        while left:
            piece = self.read(min(left, _CHUNK))
            left -= len(piece)
            yield piece


@dataclass
class Reply:
    """An answer. A body that is an iterator is sent as it comes."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | Iterator[bytes] = b""
    length: int | None = None
    """Bytes of a body that is an iterator, where that is known beforehand."""


class Service(Protocol):
    """Something that answers for a host."""

    def answer(self, request: Request) -> Reply:
        """Carry out a request."""
        ...

    def refusal(self, status: int, code: str, message: str) -> Reply:
        """An error as this service words it."""
        ...


def json_reply(status: int, document: Any, headers: Mapping[str, str] | None = None) -> Reply:
    """An answer that is a JSON document."""
    body = json.dumps(document).encode()
    return Reply(status, {"Content-Type": "application/json; charset=utf-8", **(headers or {})}, body)
