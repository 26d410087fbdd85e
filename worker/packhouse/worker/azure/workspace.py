"""A workspace as this process knows it: one client, its datastores, its assets."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.events import AzureMLWorkspace
from packhouse.worker.azure.assets import Assets
from packhouse.worker.azure.credentials import credential
from packhouse.worker.azure.datastore import Datastore, read_datastore
from packhouse.worker.storage.blob.failures import asking

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

PATIENCE: Final[dict[str, Any]] = {
    "retry_total": 2,
    "retry_backoff_factor": 0.4,
    "retry_backoff_max": 5,
    "connection_timeout": 10,
    "read_timeout": 60,
    "permit_redirects": False,
}
"""Few tries and short ones: what lasts longer is tried again by the ledger, which does not hold a process meanwhile.
Nobody but the settings says who is asked, so no answer sends to another host."""


class Workspace:
    """A workspace. Every call may raise ``PermanentError`` and ``TransientError`` for what Azure answers."""

    def __init__(self, ref: AzureMLWorkspace) -> None:
        self.ref = ref
        self._datastores: dict[str | None, Datastore] = {}

    @cached_property
    def client(self) -> MLClient:
        """The SDK's client. Making it sends nothing; importing it takes seconds."""
        try:
            from azure.ai.ml import MLClient
        except ImportError as error:
            raise PermanentError(
                ErrorCode.CONFIGURATION_INVALID,
                f"This worker is installed without what it takes to reach Azure: {error}.",
                fix="Install packhouse[worker,azure], or let these queues be served by workers that have it.",
            ) from error
        return MLClient(
            credential(),
            self.ref.subscription_id,
            self.ref.resource_group,
            self.ref.workspace_name,
            enable_telemetry=False,
            show_progress=False,
            **PATIENCE,
        )

    @cached_property
    def assets(self) -> Assets:
        """Models and data assets of the workspace."""
        return Assets(self.client, str(self.ref))

    def datastore(self, name: str | None = None) -> Datastore:
        """A datastore, or the workspace's default one. Asked for once: its clients live as long as the process."""
        if name not in self._datastores:
            found = self._describe(name, secrets=False)
            store = read_datastore(found, lambda: self._describe(found.name, secrets=True).credentials)
            self._datastores[name] = self._datastores.setdefault(store.name, store)
        return self._datastores[name]

    @property
    def known_datastores(self) -> tuple[Datastore, ...]:
        """The datastores that have been asked for."""
        return tuple(dict.fromkeys(self._datastores.values()))

    def _describe(self, name: str | None, *, secrets: bool) -> Any:
        what = f"datastore {name}" if name else "the default datastore"
        action = "datastores/listSecrets/action" if secrets else "datastores/read"
        with asking(
            f"{what} of workspace {self.ref}", permission=f"Microsoft.MachineLearningServices/workspaces/{action}"
        ):
            stores = self.client.datastores
            return stores.get(name, include_secrets=secrets) if name else stores.get_default(include_secrets=secrets)
