"""Which blobs this worker may touch, and what opens them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import parse_qs

from packhouse.schemas.blob.address import BlobAddress
from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.events import AzureMLWorkspace

_ANY = "*"


class Access(Protocol):
    """What the settings and the workspaces say about blobs. All may raise ``PermanentError``, ``TransientError``."""

    def allows(self, address: BlobAddress) -> bool:
        """Whether events may name this container."""
        ...

    def credential(self, address: BlobAddress) -> Any:
        """What opens the container, as the SDK's clients take it: the same object as long as it is good."""
        ...

    def refused(self, address: BlobAddress) -> None:
        """The service took the credential for invalid: the next one that is asked for should be new."""
        ...

    def datastore(self, name: str, workspace: AzureMLWorkspace | None) -> BlobAddress:
        """The container of a datastore of the workspace that an event names, or of the default one."""
        ...


class AllowList:
    """Containers by ``account/container`` and ``account/*``."""

    def __init__(self, entries: Iterable[str]) -> None:
        self._entries = frozenset(entries)

    def __contains__(self, address: BlobAddress) -> bool:
        return not self._entries.isdisjoint((f"{address.account}/{address.container}", f"{address.account}/{_ANY}"))


def end_of(signature: str) -> float | None:
    """When a shared access signature ends, in seconds since 1970; None where it does not say."""
    try:
        return datetime.fromisoformat(parse_qs(signature)["se"][0]).timestamp()
    except (KeyError, ValueError):
        return None


def must_be_allowed(address: BlobAddress, access: Access) -> None:
    """Raises ``PermanentError`` (``path_forbidden``)."""
    if not access.allows(address):
        raise PermanentError(
            ErrorCode.PATH_FORBIDDEN,
            f"{address} lies in a container that this worker may not touch.",
            fix=f"Use another container, or add {address.account}/{address.container} to PACKHOUSE_AZURE_ACCOUNTS.",
        )
