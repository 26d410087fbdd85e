"""Azure as one process reaches it: the workspaces it has opened, and what opens a blob container."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from packhouse.schemas.blob.address import BlobAddress
from packhouse.schemas.events import AzureMLWorkspace
from packhouse.worker.azure.choice import choose_workspace, known_workspaces
from packhouse.worker.azure.credentials import credential
from packhouse.worker.settings import Settings
from packhouse.worker.storage.blob.access import AllowList
from packhouse.worker.storage.blob.clients import BlobClients

if TYPE_CHECKING:
    from packhouse.worker.azure.datastore import Datastore
    from packhouse.worker.azure.workspace import Workspace


class Azure:
    """Made once in a process, at no cost: nothing is imported or sent before it is needed.

    Implements ``storage.blob.access.Access``. Calls may raise ``PermanentError`` and ``TransientError``.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._allowed = AllowList(settings.azure_accounts)
        self._workspaces: dict[AzureMLWorkspace, Workspace] = {}

    @cached_property
    def blobs(self) -> BlobClients:
        """The blob clients of this process."""
        return BlobClients(self)

    def workspace(self, named: AzureMLWorkspace | None) -> Workspace:
        """The workspace of a run whose event names one, or none. Raises as ``choose_workspace``."""
        from packhouse.worker.azure.workspace import Workspace

        ref = choose_workspace(named, self.settings)
        if ref not in self._workspaces:
            self._workspaces[ref] = Workspace(ref)
        return self._workspaces[ref]

    def asset_store(self, named: AzureMLWorkspace | None) -> Datastore:
        """The datastore that assets of such a run are put into."""
        return self.workspace(named).datastore(self.settings.azure_datastore)

    def allows(self, address: BlobAddress) -> bool:
        """Whether events may name this container: those of the settings, and the default workspace's datastore."""
        if address in self._allowed:
            return True
        return bool(known_workspaces(self.settings)) and self.asset_store(None).root == address.root

    def credential(self, address: BlobAddress) -> Any:
        """What opens a container: the secret of its datastore where that has one, or the process's identity."""
        datastore = self._datastore_at(address)
        return datastore.secret.current() if datastore is not None and datastore.secret else credential()

    def refused(self, address: BlobAddress) -> None:
        """The storage took the credential for invalid: a datastore's secret is asked for anew."""
        datastore = self._datastore_at(address)
        if datastore is not None and datastore.secret:
            datastore.secret.expire()

    def datastore(self, name: str, workspace: AzureMLWorkspace | None) -> BlobAddress:
        """The container of a datastore of the workspace that an event names, or of the default one."""
        return self.workspace(workspace).datastore(name).root

    def _datastore_at(self, address: BlobAddress) -> Datastore | None:
        """The datastore that a container is, of those that have been asked for."""
        for workspace in self._workspaces.values():
            for datastore in workspace.known_datastores:
                if datastore.root == address.root:
                    return datastore
        return None
