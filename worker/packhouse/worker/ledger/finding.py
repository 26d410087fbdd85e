"""Finding a run by the id that people know it by."""

from __future__ import annotations

import json
from typing import Any, Final, cast

from packhouse.schemas.keys import FIELD
from packhouse.worker.ledger.ledger import Ledger

_PAGE: Final = 500
_PAGES: Final = 200


def sources_of(ledger: Ledger, run_id: str) -> list[str]:
    """Who has a run of this id, by the events that the status stream still has; those heard of last first."""
    sources: dict[str, None] = {}
    last = "+"
    for _ in range(_PAGES):
        reply = ledger.redis.xrevrange(ledger.keys.status, last, "-", count=_PAGE)
        rows = cast("list[tuple[str, dict[str, str]]]", reply)
        for _, fields in rows:
            event: Any = json.loads(fields.get(FIELD, "null"))
            if isinstance(event, dict) and event.get("subject") == run_id:
                sources.setdefault(str(event.get("source")))
        if len(rows) < _PAGE:
            break
        last = f"({rows[-1][0]}"
    return list(sources)
