"""Models and data assets of a workspace, through the SDK."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from packhouse.schemas.errors import PackhouseError
from packhouse.worker.azure.tags import digest_in
from packhouse.worker.storage.blob.failures import asking, failure

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

_REFUSALS: Final = {400, 409, 412}
"""How a taken version is refused; which of them, the service does not promise."""


class AssetKind(StrEnum):
    """What an asset is registered as; the value is the service's name for the collection."""

    MODEL = "models"
    DATA = "data"


@dataclass(frozen=True)
class NewAsset:
    """An asset to register, by reference to a folder that is there."""

    kind: AssetKind
    name: str
    version: str
    path: str
    description: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    mlflow: bool = False
    """Whether the folder is in the MLflow format. Of models only: the workspace then can serve it as it is."""


@dataclass(frozen=True)
class Registered:
    """An asset as the service has it."""

    name: str
    version: str
    id: str
    path: str
    tags: dict[str, str]
    properties: dict[str, str]

    @property
    def digest(self) -> str | None:
        """Its content digest; None where it is not of Packhouse."""
        return digest_in(self.properties, self.tags)


class Conflict(Exception):
    """The service refused to register, perhaps because the version is taken: look at what is there.

    ``refusal`` is the error to raise where that is not the reason.
    """

    def __init__(self, refusal: PackhouseError) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class Assets:
    """The assets of one workspace. Calls raise ``PermanentError`` and ``TransientError`` for what Azure answers."""

    def __init__(self, client: MLClient, workspace: str) -> None:
        self._client = client
        self._workspace = workspace

    def get(self, kind: AssetKind, name: str, version: str) -> Registered | None:
        """One version of an asset; None where there is none. Archived ones count."""
        from azure.core.exceptions import ResourceNotFoundError

        with self._asking(f"{kind} {name}:{version}", f"{kind}/versions/read"):
            try:
                return _registered(self._operations(kind).get(name, version))
            except ResourceNotFoundError:
                return None

    def register(self, asset: NewAsset) -> None:
        """Register by reference; no bytes are sent. Raises ``Conflict`` where the service refuses the asset itself."""
        from azure.core.exceptions import HttpResponseError

        what = f"{asset.kind} {asset.name}:{asset.version}"
        with self._asking(what, f"{asset.kind}/versions/write"):
            try:
                self._operations(asset.kind).create_or_update(_entity(asset))
            except HttpResponseError as error:
                if error.status_code in _REFUSALS:
                    raise Conflict(failure(error, self._named(what), "")) from None
                raise

    def versions(self, kind: AssetKind, name: str) -> list[str]:
        """Every version of an asset, archived ones too; empty where the asset is not there."""
        from azure.core.exceptions import ResourceNotFoundError

        with self._asking(f"the versions of {kind} {name}", f"{kind}/versions/read"):
            try:
                return [str(each.version) for each in self._listed(kind, name)]
            except ResourceNotFoundError:
                return []

    def peek(self) -> None:
        """See whether models can be read at all. Raises where they cannot."""
        from azure.ai.ml.constants import ListViewType

        with self._asking("the list of models", "models/read"):
            next(iter(self._client.models.list(list_view_type=ListViewType.ALL)), None)

    def paths(self) -> Iterator[str]:
        """The path of every version of every model and data asset, archived ones too."""
        for kind in AssetKind:
            with self._asking(f"the list of {kind}", f"{kind}/read"):
                names = [str(each.name) for each in self._listed(kind)]
            for name in names:
                with self._asking(f"the versions of {kind} {name}", f"{kind}/versions/read"):
                    yield from [str(each.path) for each in self._listed(kind, name)]

    def _operations(self, kind: AssetKind) -> Any:
        return self._client.models if kind is AssetKind.MODEL else self._client.data

    def _listed(self, kind: AssetKind, name: str | None = None) -> list[Any]:
        from azure.ai.ml.constants import ListViewType

        return list(self._operations(kind).list(name=name, list_view_type=ListViewType.ALL))

    def _named(self, what: str) -> str:
        return f"{what} in workspace {self._workspace}"

    def _asking(self, what: str, action: str) -> AbstractContextManager[None]:
        return asking(self._named(what), permission=f"Microsoft.MachineLearningServices/workspaces/{action}")


def _entity(asset: NewAsset) -> Any:
    from azure.ai.ml.constants import AssetTypes
    from azure.ai.ml.entities import Data, Model

    if asset.kind is AssetKind.MODEL:
        make, kind = Model, AssetTypes.MLFLOW_MODEL if asset.mlflow else AssetTypes.CUSTOM_MODEL
    else:
        make, kind = Data, AssetTypes.URI_FOLDER
    return make(
        name=asset.name,
        version=asset.version,
        type=kind,
        path=asset.path,
        description=asset.description,
        tags=dict(asset.tags),
        properties=dict(asset.properties),
    )


def _registered(found: Any) -> Registered:
    return Registered(
        name=str(found.name),
        version=str(found.version),
        id=str(found.id),
        path=str(found.path),
        tags=dict(found.tags or {}),
        properties=dict(found.properties or {}),
    )
