"""The controls of the stand-in: its log, its faults, what its datastores ask for. For tests and for people."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pydantic import TypeAdapter, ValidationError

from packhouse.local.azure.standin.arm import Arm
from packhouse.local.azure.standin.exchange import Reply, Request, json_reply
from packhouse.local.azure.standin.faults import Fault, Faults
from packhouse.local.azure.standin.log import Log, Record

_RECORDS = TypeAdapter(list[Record])


class Control:
    """Answers requests that are for the stand-in itself and carry the header ``Packhouse-Control``.

    ``GET /ready``; ``GET /requests?after=<number>``; ``POST /faults`` (a ``Fault``), ``GET`` and ``DELETE
    /faults/<number>``, ``DELETE /faults``; ``PUT /datastores`` (``credentials``, ``sas_seconds``);
    ``DELETE /content``.
    """

    def __init__(self, arm: Arm, log: Callable[[], Log], faults: Callable[[], Faults]) -> None:
        self._arm = arm
        self._log = log
        self._faults = faults

    def answer(self, request: Request) -> Reply:
        """Carry out a request."""
        body = b"".join(request.body())
        try:
            return self._route(request, body)
        except (KeyError, ValueError, ValidationError) as error:
            return self.refusal(400, "invalid", str(error))

    def refusal(self, status: int, code: str, message: str) -> Reply:
        """An error."""
        return json_reply(status, {"error": {"code": code, "message": message}})

    def _route(self, request: Request, body: bytes) -> Reply:
        said: dict[str, Any] = {}
        match request.method, request.path.strip("/").split("/"):
            case "GET", ["ready"]:
                pass
            case "GET", ["requests"]:
                records = self._log().after(int(request.query.get("after", "0")))
                return Reply(200, {"Content-Type": "application/json"}, _RECORDS.dump_json(records))
            case "POST", ["faults"]:
                said["number"] = self._faults().add(Fault.model_validate_json(body))
            case "GET", ["faults", number]:
                said["struck"] = self._faults().struck(int(number))
            case "DELETE", ["faults", *numbers]:
                self._faults().remove(*map(int, numbers))
            case "PUT", ["datastores"]:
                wanted: dict[str, Any] = json.loads(body)
                self._arm.credentials = str(wanted["credentials"])
                self._arm.sas_seconds = float(wanted["sas_seconds"])
            case "DELETE", ["content"]:
                self._arm.clear()
            case _:
                return self.refusal(404, "not_found", "There is no such control.")
        return json_reply(200, said)
