"""A datastore of a workspace: which blob container it is, and what opens it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qs

from packhouse.schemas.blob.address import BlobAddress
from packhouse.schemas.errors import ErrorCode, PermanentError

_LASTS: Final = 3600.0
"""Seconds after which a secret that does not say when it ends is asked for again."""
_BEFORE_END: Final = 600.0
"""Seconds before the end of a signature at which a new one is asked for; half its time, where that is less."""


class Secret:
    """A shared access signature or an account's key, asked for when first used and again before it runs out.

    One credential object serves all clients: a new signature reaches those that exist.
    """

    def __init__(self, account: str, fetch: Callable[[], Any]) -> None:
        """``fetch`` asks the workspace and returns the SDK's credentials of the datastore."""
        self._account = account
        self._fetch = fetch
        self._credential: Any = None
        self._good_until = 0.0

    def current(self) -> Any:
        """The credential for blob clients, good enough to begin work with."""
        if self._credential is None or time.time() >= self._good_until:
            self._renew()
        return self._credential

    def expire(self) -> None:
        """Let the next use ask again: the storage has refused what there is."""
        self._good_until = 0.0

    def _renew(self) -> None:
        from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential

        secret = self._fetch()
        signature = (getattr(secret, "sas_token", None) or "").lstrip("?")
        if not signature:
            self._credential = AzureNamedKeyCredential(self._account, secret.account_key)
            self._good_until = time.time() + _LASTS
            return
        if isinstance(self._credential, AzureSasCredential):
            self._credential.update(signature)
        else:
            self._credential = AzureSasCredential(signature)
        now = time.time()
        end = end_of(signature) or now + _LASTS
        self._good_until = end - min(_BEFORE_END, (end - now) / 2)

    def __repr__(self) -> str:
        return f"Secret({self._account!r})"


@dataclass(frozen=True)
class Datastore:
    """A blob container under the name that a workspace gives it."""

    name: str
    account: str
    container: str
    secret: Secret | None
    """None where the process's own identity opens it."""

    @property
    def root(self) -> BlobAddress:
        """The container."""
        return BlobAddress(self.account, self.container)

    def path(self, path: str) -> str:
        """The address of something in there, as assets refer to it."""
        return f"azureml://datastores/{self.name}/paths/{path}"


def end_of(signature: str) -> float | None:
    """When a shared access signature ends, in seconds since 1970; None where it does not say."""
    try:
        return datetime.fromisoformat(parse_qs(signature)["se"][0]).timestamp()
    except (KeyError, ValueError):
        return None


def read_datastore(found: Any, fetch: Callable[[], Any]) -> Datastore:
    """A datastore from the SDK's description of it. Raises ``PermanentError`` where it is no blob container."""
    from azure.ai.ml.entities import AccountKeyConfiguration, AzureBlobDatastore, SasTokenConfiguration

    if not isinstance(found, AzureBlobDatastore):
        raise PermanentError(
            ErrorCode.CONFIGURATION_INVALID,
            f"The datastore {found.name} is no blob container.",
            fix="Name a datastore of type Azure Blob Storage; PACKHOUSE_AZURE_DATASTORE says which one assets go to.",
        )
    by_secret = isinstance(found.credentials, SasTokenConfiguration | AccountKeyConfiguration)
    return Datastore(
        name=str(found.name),
        account=found.account_name,
        container=found.container_name,
        secret=Secret(found.account_name, fetch) if by_secret else None,
    )
