"""The controls of a running stand-in, from another process."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from packhouse.local.azure.standin.faults import Fault
from packhouse.local.azure.standin.log import Record

_RECORDS = TypeAdapter(list[Record])


class Remote:
    """Speaks to the controls of the stand-in on a port of loopback. Raises ``OSError`` where it does not answer."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ready(self) -> bool:
        """Whether it answers."""
        try:
            self._call("GET", "/ready")
        except (OSError, http.client.HTTPException):
            return False
        return True

    def requests(self, after: int = 0) -> list[Record]:
        """The requests that came after the one of this number, oldest first."""
        return _RECORDS.validate_json(self._call("GET", f"/requests?after={after}"))

    def add(self, fault: Fault) -> int:
        """Switch a fault on; returns its number."""
        return int(json.loads(self._call("POST", "/faults", fault.model_dump()))["number"])

    def struck(self, number: int) -> int:
        """How many requests a fault has harmed."""
        return int(json.loads(self._call("GET", f"/faults/{number}"))["struck"])

    def remove(self, number: int | None = None) -> None:
        """Switch one fault off, or all."""
        self._call("DELETE", "/faults" if number is None else f"/faults/{number}")

    def datastores(self, credentials: str = "None", sas_seconds: float = 3600) -> None:
        """How datastores let one in from now on: ``None`` (by identity), ``Sas`` or ``AccountKey``."""
        self._call("PUT", "/datastores", {"credentials": credentials, "sas_seconds": sas_seconds})

    def clear(self) -> None:
        """Delete every asset and every blob."""
        self._call("DELETE", "/content")

    def _call(self, method: str, target: str, document: Mapping[str, Any] | None = None) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            body = None if document is None else json.dumps(document).encode()
            connection.request(method, target, body, {"Packhouse-Control": "1", "Connection": "close"})
            response = connection.getresponse()
            text = response.read()
            if response.status != http.client.OK:
                raise ValueError(f"{method} {target}: {response.status} {text.decode('utf-8', 'replace')}")
            return text
        finally:
            connection.close()
