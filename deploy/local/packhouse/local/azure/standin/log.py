"""The log of requests: what came over the wire, counted where the encryption ends."""

from __future__ import annotations

import itertools
import re
import threading
from collections import deque
from collections.abc import Mapping
from typing import Final

from pydantic import BaseModel

_KEPT: Final = 50_000
_SECRET: Final = re.compile(r"(?<=[?&])(sig)=[^&]*", re.IGNORECASE)


class Record(BaseModel):
    """One request. It is in the log from its first byte on, and grows until its answer has been sent."""

    number: int
    method: str
    host: str
    path: str
    """Without the query."""
    query: str = ""
    """Signatures blotted out."""
    credential: str = ""
    """``Bearer``, ``SharedKey``, ``SAS``, or nothing."""
    request_bytes: int = 0
    """Of the body, as far as it was read."""
    response_bytes: int = 0
    """Of the body, as far as it was sent."""
    status: int = 0
    """0: not answered, or cut before the answer."""
    fault: int | None = None
    """Number of the fault that harmed it."""
    done: bool = False


class Log:
    """The last requests, oldest first."""

    def __init__(self) -> None:
        self._records: deque[Record] = deque(maxlen=_KEPT)
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def begin(self, method: str, host: str, target: str, headers: Mapping[str, str]) -> Record:
        """A new record of a request to ``target`` (path and query)."""
        path, _, query = target.partition("?")
        scheme = headers.get("Authorization", "").partition(" ")[0]
        with self._lock:
            record = Record(
                number=next(self._numbers),
                method=method,
                host=host,
                path=path,
                query=_SECRET.sub(r"\1=REDACTED", f"?{query}")[1:],
                credential=scheme or ("SAS" if "sig=" in query else ""),
            )
            self._records.append(record)
        return record

    def after(self, number: int) -> list[Record]:
        """Copies of the records that are younger than a number."""
        with self._lock:
            return [record.model_copy() for record in self._records if record.number > number]
