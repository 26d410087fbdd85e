"""Which workspace a run uses: one that its event names, where the settings allow that, or the worker's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.events import AzureMLWorkspace
from packhouse.worker.settings import Settings

_SCOPE_PARTS: Final = 9
"""``/subscriptions/S/resourceGroups/R/providers/Microsoft.MachineLearningServices/workspaces/W``."""


def known_workspaces(settings: Settings) -> tuple[AzureMLWorkspace, ...]:
    """The workspaces that runs may use, the default one first. Raises ``PermanentError``."""
    if settings.azure_config is None:
        return settings.azure_workspaces
    return (*settings.azure_workspaces, read_config(settings.azure_config))


def choose_workspace(named: AzureMLWorkspace | None, settings: Settings) -> AzureMLWorkspace:
    """The workspace of a run whose event names one, or none.

    Azure knows no letter case in these names; the settings' spelling is taken. Raises ``PermanentError``:
    ``workspace_forbidden``, ``workspace_unknown``, ``configuration_invalid``.
    """
    known = known_workspaces(settings)
    if named is None:
        if not known:
            raise PermanentError(
                ErrorCode.WORKSPACE_UNKNOWN,
                "This worker knows no Azure Machine Learning workspace.",
                fix="Set PACKHOUSE_AZURE_WORKSPACES to subscription/resource_group/workspace, or "
                "PACKHOUSE_AZURE_CONFIG to the path of the workspace's config.json.",
            )
        return known[0]
    for workspace in known:
        if str(workspace).lower() == str(named).lower():
            return workspace
    raise PermanentError(
        ErrorCode.WORKSPACE_FORBIDDEN,
        f"The event names the workspace {named}, which this worker may not use.",
        fix="Leave the workspace out to use the worker's own, or add it to PACKHOUSE_AZURE_WORKSPACES.",
        field="data.azureml",
    )


def read_config(path: str) -> AzureMLWorkspace:
    """The workspace of an Azure ML ``config.json``, as the studio writes it. Raises ``PermanentError``."""
    try:
        config: Any = json.loads(Path(path).read_bytes())
        names = _of_scope(config["Scope"]) if config.get("Scope") else config
        return AzureMLWorkspace(
            subscription_id=names["subscription_id"],
            resource_group=names["resource_group"],
            workspace_name=names["workspace_name"],
        )
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
    except (ValueError, TypeError, AttributeError, KeyError, ValidationError):
        reason = "it does not give subscription_id, resource_group and workspace_name"
    raise PermanentError(
        ErrorCode.CONFIGURATION_INVALID,
        f"The Azure ML config {path} cannot be used: {reason}.",
        fix="Download config.json from the workspace's page in the Azure portal; PACKHOUSE_AZURE_CONFIG is its path.",
        field="PACKHOUSE_AZURE_CONFIG",
    )


def _of_scope(scope: str) -> dict[str, str]:
    parts = scope.split("/")
    if len(parts) < _SCOPE_PARTS:
        raise ValueError(scope)
    return {"subscription_id": parts[2], "resource_group": parts[4], "workspace_name": parts[8]}
