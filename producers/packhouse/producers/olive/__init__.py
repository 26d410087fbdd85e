"""Finished runs of Microsoft Olive, from its files or from its objects. Olive itself is not needed."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from packhouse.producers.olive.live import from_footprints, from_workflow_output
from packhouse.producers.olive.output import read_output_dir

if TYPE_CHECKING:
    from packhouse.producers.olive.publishing import PublishedRun, publish_output

__all__ = ["PublishedRun", "from_footprints", "from_workflow_output", "publish_output", "read_output_dir"]


def __getattr__(name: str) -> Any:
    # Reading a run needs no redis; what ranks on the command line starts without it.
    if name in {"PublishedRun", "publish_output"}:
        return getattr(import_module(f"{__name__}.publishing"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
