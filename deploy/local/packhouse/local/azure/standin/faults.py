"""Faults that can be switched on: what the network and the service do on a bad day."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field

from packhouse.schemas.base import Document


class Fault(Document):
    """What goes wrong with requests that match; what is not given does not go wrong.

    ``method``, ``host`` and ``path`` are regular expressions, searched for in the request; ``path`` is held against
    path and query.
    """

    method: str = ""
    host: str = ""
    path: str = ""
    skip: int = 0
    """So many matching requests pass unharmed first."""
    times: int | None = 1
    """So many matching requests are harmed; None: all."""
    delay: float = 0.0
    """Seconds before anything else. Ends early when the fault is removed."""
    status: int | None = None
    """Status of the answer; the request is read and not carried out."""
    code: str = "InjectedFault"
    message: str = "A fault that was switched on."
    retry_after: int | None = None
    """Seconds, in the header Retry-After of that answer."""
    location: str | None = None
    """Where that answer sends to, in the header Location."""
    cut_request_after: int | None = None
    """The connection is cut when so many bytes of the request's body have been read. It is not carried out."""
    cut_response_after: int | None = None
    """The request is carried out, and the connection cut after so many bytes of the answer's body; 0: before it."""


@dataclass
class ActiveFault:
    """A fault and how often it has struck."""

    number: int
    fault: Fault
    seen: int = 0
    struck: int = 0
    removed: threading.Event = field(default_factory=threading.Event)

    def strikes(self, method: str, host: str, path: str) -> bool:
        """Whether a request is harmed; counts it."""
        fault = self.fault
        subjects = ((fault.method, method), (fault.host, host), (fault.path, path))
        if not all(re.search(pattern, subject) for pattern, subject in subjects):
            return False
        self.seen += 1
        if self.seen <= fault.skip or (fault.times is not None and self.struck >= fault.times):
            return False
        self.struck += 1
        return True


class Faults:
    """The faults that are switched on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active: dict[int, ActiveFault] = {}
        self._last = 0

    def add(self, fault: Fault) -> int:
        """Switch a fault on; returns its number."""
        with self._lock:
            self._last += 1
            self._active[self._last] = ActiveFault(self._last, fault)
            return self._last

    def struck(self, number: int) -> int:
        """How many requests a fault has harmed. Raises ``KeyError`` where it is not switched on."""
        with self._lock:
            return self._active[number].struck

    def remove(self, number: int | None = None) -> None:
        """Switch one fault off, or all; requests that it delays go on."""
        with self._lock:
            numbers = list(self._active) if number is None else [number]
            for one in numbers:
                if gone := self._active.pop(one, None):
                    gone.removed.set()

    def strike(self, method: str, host: str, path: str) -> ActiveFault | None:
        """The first fault that harms this request."""
        with self._lock:
            return next((one for one in self._active.values() if one.strikes(method, host, path)), None)
