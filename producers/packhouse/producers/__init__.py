"""What runs beside an engine: publish finished runs, follow what becomes of them. Needs pydantic and redis alone."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from packhouse.producers.feed import StatusFeed
    from packhouse.producers.group import StatusGroup
    from packhouse.producers.publishing import Receipt, publish
    from packhouse.producers.staging import stage

__all__ = ["Receipt", "StatusFeed", "StatusGroup", "publish", "stage"]

_HOMES = {
    "Receipt": "publishing",
    "StatusFeed": "feed",
    "StatusGroup": "group",
    "publish": "publishing",
    "stage": "staging",
}


def __getattr__(name: str) -> Any:
    # Imported when first used: the command line lives below this package, and has to start without redis.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
