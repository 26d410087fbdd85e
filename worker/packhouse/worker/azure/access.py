"""Azure as one process reaches it: which workspaces it has opened, and what opens a blob container."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from packhouse.schemas.events import AzureMLWorkspace
from packhouse.worker.azure.choice import choose_workspace
from packhouse.worker.azure.credentials import credential
from packhouse.worker.settings import Settings

if TYPE_CHECKING:
    from packhouse.worker.azure.datastore import Datastore
    from packhouse.worker.azure.workspace import Workspace


class Azure:
    """Made once in a process, at no cost: nothing is imported or sent before it is needed."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._workspaces: dict[AzureMLWorkspace, Workspace] = {}

    def workspace(self, named: AzureMLWorkspace | None) -> Workspace:
        """The workspace of a run whose event names one, or none. Raises as ``choose_workspace``."""
        from packhouse.worker.azure.workspace import Workspace

        ref = choose_workspace(named, self.settings)
        if ref not in self._workspaces:
            self._workspaces[ref] = Workspace(ref)
        return self._workspaces[ref]

    def datastore(self, named: AzureMLWorkspace | None) -> Datastore:
        """Where assets of such a run are put."""
        return self.workspace(named).datastore(self.settings.azure_datastore)

    def credential(self, account: str, container: str) -> Any:
        """What a blob client of a container takes: the secret of its datastore where that has one, or the identity.

        Only datastores that have been asked for are known; one object serves as long as the process lives.
        """
        for workspace in self._workspaces.values():
            for datastore in workspace.known_datastores:
                if (datastore.account, datastore.container) == (account, container) and datastore.secret is not None:
                    return datastore.secret.current()
        return credential()
