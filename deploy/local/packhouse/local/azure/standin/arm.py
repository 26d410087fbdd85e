"""Azure Resource Manager, as far as Azure ML's SDK asks it about workspaces, datastores, models and data."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

from packhouse.local.azure.authority import ARM_HOST
from packhouse.local.azure.identity import DATASTORE, Identity, Workspace
from packhouse.local.azure.standin import tokens
from packhouse.local.azure.standin.assets import NAME, VERSION, Assets, Stored
from packhouse.local.azure.standin.blobs import Blobs
from packhouse.local.azure.standin.documents import UnknownField, models, read, write
from packhouse.local.azure.standin.exchange import Reply, Request, json_reply
from packhouse.local.azure.standin.kinds import KINDS, Kind, PathRefused, blob_path

PAGE: Final = 20
"""Items of a list in one answer; the rest is behind ``nextLink``."""
_WORKSPACE: Final = re.compile(
    r"/subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)"
    r"/providers/Microsoft\.MachineLearningServices/workspaces/(?P<workspace>[^/]+)(?:/(?P<rest>.*))?",
    re.IGNORECASE,
)


class Refused(Exception):
    """A request is answered with an error."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Arm:
    """Answers for management.azure.com."""

    def __init__(self, identity: Identity, blobs: Blobs, folder: Path) -> None:
        self._identity = identity
        self._blobs = blobs
        self._assets = {
            (workspace.name, kind.collection): Assets(folder / workspace.name / kind.collection)
            for workspace in identity.workspaces
            for kind in KINDS
        }
        self.credentials = "None"
        """How datastores let one in: ``None`` (by identity), ``Sas`` or ``AccountKey``."""
        self.sas_seconds = 3600.0
        """How long a signature that is handed out is good for."""

    def answer(self, request: Request) -> Reply:
        """Carry out a request."""
        body = b"".join(request.body())
        try:
            self._check_token(request)
            return self._route(request, body)
        except Refused as refused:
            return self.refusal(refused.status, refused.code, str(refused))
        except UnknownField as error:
            return self.refusal(400, "ValidationError", str(error))

    def refusal(self, status: int, code: str, message: str) -> Reply:
        """An error as Azure Resource Manager words it."""
        error = models.ErrorResponse(error=models.ErrorDetail({"code": code, "message": message}))
        return json_reply(status, write(error))

    def clear(self) -> None:
        """Forget every asset and every blob, and be reached by identity."""
        for assets in self._assets.values():
            assets.clear()
        self._blobs.clear()
        self.credentials = "None"

    def _check_token(self, request: Request) -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer":
            raise Refused(401, "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.")
        if not tokens.is_good(self._identity, token, f"https://{ARM_HOST}"):
            raise Refused(401, "InvalidAuthenticationToken", "The access token is invalid, expired or for another use.")

    def _route(self, request: Request, body: bytes) -> Reply:
        found = _WORKSPACE.fullmatch(request.path.rstrip("/"))
        if not found:
            raise Refused(404, "NotFound", f"No resource is at {request.path}.")
        workspace = self._workspace(found["subscription"], found["group"], found["workspace"])
        parts = (found["rest"] or "").split("/")
        match request.method, parts:
            case "GET", [""]:
                return json_reply(200, write(self._described(workspace)))
            case "GET", ["datastores"]:
                return json_reply(200, {"value": [write(self._datastore(workspace))]})
            case "GET", ["datastores", name]:
                self._check_datastore(name)
                return json_reply(200, write(self._datastore(workspace)))
            case "POST", ["datastores", name, "listSecrets"]:
                self._check_datastore(name)
                return json_reply(200, write(self._secrets(workspace)))
            case method, [collection, *rest] if kind := next((k for k in KINDS if k.collection == collection), None):
                return self._asset(method, kind, workspace, rest, request, body)
            case _:
                raise Refused(404, "NotFound", f"The stand-in does not know {request.method} {request.path}.")

    def _workspace(self, subscription: str, group: str, name: str) -> Workspace:
        if subscription.lower() != self._identity.subscription:
            raise Refused(404, "SubscriptionNotFound", f"The subscription '{subscription}' could not be found.")
        if group.lower() != self._identity.resource_group:
            raise Refused(404, "ResourceGroupNotFound", f"Resource group '{group}' could not be found.")
        for workspace in self._identity.workspaces:
            if workspace.name == name.lower():
                return workspace
        raise Refused(
            404,
            "ResourceNotFound",
            f"The Resource 'Microsoft.MachineLearningServices/workspaces/{name}' under resource group '{group}' was "
            "not found.",
        )

    def _check_datastore(self, name: str) -> None:
        if name != DATASTORE:
            raise Refused(404, "UserError", f"Could not find datastore with name {name}.")

    def _id(self, workspace: Workspace, rest: str = "") -> str:
        return (
            f"/subscriptions/{self._identity.subscription}/resourceGroups/{self._identity.resource_group}"
            f"/providers/Microsoft.MachineLearningServices/workspaces/{workspace.name}{rest}"
        )

    def _described(self, workspace: Workspace) -> models.Workspace:
        storage = (
            f"/subscriptions/{self._identity.subscription}/resourceGroups/{self._identity.resource_group}"
            f"/providers/Microsoft.Storage/storageAccounts/{workspace.account}"
        )
        return models.Workspace(
            {
                "id": self._id(workspace),
                "name": workspace.name,
                "type": "Microsoft.MachineLearningServices/workspaces",
                "location": "local",
                "kind": "Default",
                "tags": {},
                "properties": {
                    "friendlyName": workspace.name,
                    "storageAccount": storage,
                    "provisioningState": "Succeeded",
                    "tenantId": self._identity.tenant,
                    "workspaceId": workspace.identifier,
                },
            }
        )

    def _datastore(self, workspace: Workspace) -> models.Datastore:
        return models.Datastore(
            {
                "id": self._id(workspace, f"/datastores/{DATASTORE}"),
                "name": DATASTORE,
                "type": "Microsoft.MachineLearningServices/workspaces/datastores",
                "properties": {
                    "datastoreType": "AzureBlob",
                    "accountName": workspace.account,
                    "containerName": workspace.container,
                    "endpoint": "core.windows.net",
                    "protocol": "https",
                    "isDefault": True,
                    "credentials": {"credentialsType": self.credentials},
                    "tags": {},
                    "properties": {},
                },
            }
        )

    def _secrets(self, workspace: Workspace) -> models.DatastoreSecrets:
        key = self._identity.account_key(workspace.account)
        if self.credentials == "AccountKey":
            return models.AccountKeyDatastoreSecrets(key=key)
        if self.credentials == "Sas":
            token = generate_account_sas(
                workspace.account,
                key,
                ResourceTypes(service=True, container=True, object=True),
                AccountSasPermissions(read=True, write=True, delete=True, list=True, add=True, create=True),
                datetime.now(UTC) + timedelta(seconds=self.sas_seconds),
            )
            return models.SasDatastoreSecrets(sas_token=token)
        raise Refused(400, "UserError", f"Datastore {DATASTORE} has no secrets: it is reached by identity.")

    # Models and data

    def _asset(
        self, method: str, kind: Kind, workspace: Workspace, rest: list[str], request: Request, body: bytes
    ) -> Reply:
        assets = self._assets[workspace.name, kind.collection]
        match method, rest:
            case "GET", []:
                return self._page(request, [self._container(kind, workspace, name) for name in assets.names()])
            case "GET", [name]:
                return json_reply(200, self._container(kind, workspace, name))
            case "GET", [name, "versions"]:
                return self._page(request, self._listed(kind, workspace, name, request))
            case "GET", [name, "versions", version]:
                stored = assets.get(name, version) if NAME.fullmatch(name) and VERSION.fullmatch(version) else None
                if stored is None:
                    raise Refused(404, "UserError", f"{kind.word} with name {name} and version {version} not found.")
                return json_reply(200, self._version(kind, workspace, name, stored))
            case "PUT", [name, "versions", version]:
                return self._put(kind, workspace, name, version, body)
            case "DELETE", [name, "versions", version]:
                return Reply(200 if assets.remove(name, version) else 204)
            case _:
                raise Refused(405, "MethodNotAllowed", f"The stand-in does not know {method} {request.path}.")

    def _put(self, kind: Kind, workspace: Workspace, name: str, version: str, body: bytes) -> Reply:
        for what, value, rule in (("name", name, NAME), ("version", version, VERSION)):
            if not rule.fullmatch(value):
                raise Refused(400, "UserError", f"The {what} {value!r} is invalid: it must match {rule.pattern}.")
        try:
            document = write(read(kind.model, json.loads(body or b"null")))
        except ValueError as error:
            raise Refused(400, "InvalidRequestContent", f"The body is not JSON: {error}.") from error
        properties = document.get("properties", {})
        uri = str(properties.get(kind.uri) or "")
        try:
            account, container, path = blob_path(uri, self._identity, workspace)
        except PathRefused as refused:
            raise Refused(400, "UserError", str(refused)) from refused
        if not self._blobs.exists(account, container, path):
            raise Refused(400, kind.missing, f"The asset path {uri} was not found in storage.")
        wanted = kind.holding.get(str(properties.get(kind.type)))
        if wanted is None:
            raise Refused(400, "UserError", f"{properties.get(kind.type)!r} is no {kind.type} that there is.")
        if wanted and not self._blobs.exists(account, container, f"{path.rstrip('/')}/{wanted}"):
            raise Refused(
                400, "UserError", f"An asset of type {properties[kind.type]} holds a file {wanted}; {uri} has none."
            )
        assets = self._assets[workspace.name, kind.collection]
        with assets.lock:
            before = assets.get(name, version)
            for field in (kind.uri, kind.type):
                if before and before["properties"].get(field) != properties.get(field):
                    raise Refused(
                        409,
                        "Conflict",
                        f"{kind.word} {name}:{version} is there with another {field}, which cannot be changed.",
                    )
            stored = assets.put(name, version, properties)
        return json_reply(200 if before else 201, self._version(kind, workspace, name, stored))

    def _version(self, kind: Kind, workspace: Workspace, name: str, stored: Stored) -> dict[str, Any]:
        by = {"createdBy": "packhouse", "createdByType": "Application"}
        last = {"lastModifiedBy": "packhouse", "lastModifiedByType": "Application"}
        document = {
            "id": self._id(workspace, f"/{kind.collection}/{name}/versions/{stored['version']}"),
            "name": stored["version"],
            "type": f"Microsoft.MachineLearningServices/workspaces/{kind.collection}/versions",
            "properties": {**kind.always, **stored["properties"]},
            "systemData": {"createdAt": stored["created"], "lastModifiedAt": stored["modified"], **by, **last},
        }
        return write(kind.model(document))

    def _container(self, kind: Kind, workspace: Workspace, name: str) -> dict[str, Any]:
        versions = self._assets[workspace.name, kind.collection].versions(name) if NAME.fullmatch(name) else []
        if not versions:
            raise Refused(404, "UserError", f"{kind.word} container with name {name} not found.")
        numbers = [int(stored["version"]) for stored in versions if stored["version"].isdigit()]
        properties: dict[str, Any] = {
            "isArchived": all(stored["properties"].get("isArchived") for stored in versions),
            "latestVersion": versions[-1]["version"],
            "nextVersion": str(max(numbers, default=0) + 1),
            "tags": {},
            "properties": {},
        }
        if kind.container_type:
            properties[kind.container_type] = versions[-1]["properties"].get(kind.container_type)
        document = {
            "id": self._id(workspace, f"/{kind.collection}/{name}"),
            "name": name,
            "type": f"Microsoft.MachineLearningServices/workspaces/{kind.collection}",
            "properties": properties,
        }
        return write(kind.container(document))

    def _listed(self, kind: Kind, workspace: Workspace, name: str, request: Request) -> list[dict[str, Any]]:
        versions = self._assets[workspace.name, kind.collection].versions(name) if NAME.fullmatch(name) else []
        if not versions:
            raise Refused(404, "UserError", f"{kind.word} container with name {name} not found.")
        # The service's own order is newest first.
        if "asc" not in request.query.get("$orderBy", "").lower():
            versions.reverse()
        return [self._version(kind, workspace, name, stored) for stored in versions]

    def _page(self, request: Request, items: list[dict[str, Any]]) -> Reply:
        view = request.query.get("listViewType", "ActiveOnly")
        wanted = {"ActiveOnly": (False,), "ArchivedOnly": (True,), "All": (False, True)}.get(view, (False,))
        shown = [item for item in items if bool(item["properties"].get("isArchived")) in wanted]
        if (top := request.query.get("$top", "")).isdigit():
            shown = shown[: int(top)]
        start = int(request.query.get("$skip", "0"))
        answer: dict[str, Any] = {"value": shown[start : start + PAGE]}
        if start + PAGE < len(shown):
            query = urlencode({**request.query, "$skip": start + PAGE})
            answer["nextLink"] = f"https://{ARM_HOST}{request.target.partition('?')[0]}?{query}"
        return json_reply(200, answer)
