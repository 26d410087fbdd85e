"""The command line ``packhouse``: finds its commands, and turns errors into lines and exit statuses."""

from __future__ import annotations

import sys
from collections.abc import Sequence

MISSING_EXTRA = "The command line needs click and rich: install packhouse[cli]."


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its status."""
    try:
        from packhouse.producers.cli.group import run
    except ModuleNotFoundError as error:
        if error.name not in {"click", "rich"}:
            raise
        sys.exit(MISSING_EXTRA)
    sys.exit(run(arguments))
