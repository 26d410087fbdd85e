"""Whether a stack is to have a stand-in for Azure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from packhouse.local.azure import azurite
from packhouse.schemas.errors import PackhouseError
from packhouse.worker.settings import Settings


def azurite_for(settings: Settings, say: Callable[[str], None], stopped: Callable[[], bool]) -> Path | None:
    """Where Azurite is installed, if workers of these settings need a stand-in and it can be had; else says why not."""
    if settings.azure_workspaces or settings.azure_config:
        say("The settings name an Azure ML workspace: no stand-in for Azure is started.")
        return None
    if missing := azurite.missing_programs():
        say(f"{' and '.join(missing)} not found: going on without the stand-in for Azure.")
        return None
    try:
        return azurite.install(say, stopped)
    except PackhouseError as error:
        say(f"{error.problem.message} Going on without the stand-in for Azure.")
        return None
