"""The two kinds of asset, and where the content of one lies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

from packhouse.local.azure.identity import BLOB_DOMAIN, DATASTORE, Identity, Workspace
from packhouse.local.azure.standin.documents import models

_LONG: Final = re.compile(
    r"azureml://subscriptions/(?P<subscription>[^/]+)/resource[gG]roups/(?P<group>[^/]+)/(?:providers/"
    r"Microsoft\.MachineLearningServices/)?workspaces/(?P<workspace>[^/]+)/datastores/(?P<store>[^/]+)/paths/(?P<path>.+)"
)
_SHORT: Final = re.compile(r"azureml://datastores/(?P<store>[^/]+)/paths/(?P<path>.+)")
_HTTPS: Final = re.compile(rf"https://(?P<account>[^./]+){re.escape(BLOB_DOMAIN)}/(?P<container>[^/]+)/(?P<path>[^?]+)")


@dataclass(frozen=True)
class Kind:
    """How Azure ML words a kind of asset."""

    collection: str
    word: str
    model: type[Any]
    container: type[Any]
    uri: str
    """The field that says where the content lies."""
    type: str
    missing: str
    """Code of the error where the content is not there."""
    container_type: str = ""
    always: Mapping[str, Any] = field(default_factory=dict)
    """Fields that are in every answer."""
    holding: Mapping[str, str] = field(default_factory=dict)
    """Every type that there is, with the file that an asset of it holds at least, or nothing."""


KINDS: Final = (
    Kind(
        "models",
        "Model",
        models.ModelVersion,
        models.ModelContainer,
        "modelUri",
        "modelType",
        "ModelAssetPathNotFoundInStorage",
        always={"flavors": {}, "isArchived": False, "isAnonymous": False},
        holding={"custom_model": "", "mlflow_model": "MLmodel", "triton_model": ""},
    ),
    Kind(
        "data",
        "Data",
        models.DataVersionBase,
        models.DataContainer,
        "dataUri",
        "dataType",
        "DataAssetPathNotFoundInStorage",
        container_type="dataType",
        always={"isArchived": False, "isAnonymous": False},
        holding={"uri_file": "", "uri_folder": "", "mltable": "MLTable"},
    ),
)


class PathRefused(Exception):
    """The address of an asset's content is none that the workspace can reach."""


def blob_path(uri: str, identity: Identity, workspace: Workspace) -> tuple[str, str, str]:
    """Account, container and path of an asset's content. Raises ``PathRefused``."""
    if found := _HTTPS.fullmatch(uri):
        if found["account"] not in {account.name for account in identity.accounts}:
            raise PathRefused(f"The storage account of {uri} is not known.")
        return found["account"], found["container"], unquote(found["path"])
    found = _LONG.fullmatch(uri) or _SHORT.fullmatch(uri)
    if not found:
        raise PathRefused(f"The asset path {uri!r} is no path of a datastore.")
    named = {"subscription": identity.subscription, "group": identity.resource_group, "workspace": workspace.name}
    for part, expected in named.items():
        if found.groupdict().get(part, expected).lower() != expected:
            raise PathRefused(f"The asset path {uri} names another {part} than the asset.")
    if found["store"] != DATASTORE:
        raise PathRefused(f"Could not find datastore with name {found['store']}.")
    return workspace.account, workspace.container, unquote(found["path"])
