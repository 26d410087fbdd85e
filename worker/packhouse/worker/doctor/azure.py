"""Azure: signing in, the workspaces, their datastores, and the containers that events may name."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from packhouse.schemas.blob.address import BlobAddress
from packhouse.schemas.errors import PackhouseError
from packhouse.schemas.events import AzureMLWorkspace
from packhouse.worker.azure.access import Azure
from packhouse.worker.azure.choice import known_workspaces
from packhouse.worker.azure.credentials import credential
from packhouse.worker.doctor.finding import Finding, failed, of_error, ok, skipped
from packhouse.worker.settings import Settings
from packhouse.worker.storage.blob.failures import CONTRIBUTOR, READER, asking

_MANAGEMENT = "https://management.azure.com/.default"


def check_azure(settings: Settings) -> Iterator[Finding]:
    """Whether a worker can sign in, and reach everything that the settings name."""
    if not (settings.azure_workspaces or settings.azure_config or settings.azure_accounts):
        yield skipped("azure", "No workspace is set (PACKHOUSE_AZURE_WORKSPACES): no assets can be registered.")
        return
    signed_in = _sign_in()
    yield signed_in
    if signed_in.fix:
        return
    azure = Azure(settings)
    try:
        workspaces = known_workspaces(settings)
    except PackhouseError as error:
        yield of_error("workspace", error)
        workspaces = ()
    for workspace in workspaces:
        yield from _workspace(azure, workspace)
    for entry in settings.azure_accounts:
        yield _container(azure, entry)


def _sign_in() -> Finding:
    try:
        with asking("Azure", permission="a role"):
            credential().get_token(_MANAGEMENT)
    except ImportError as error:
        return failed(
            "credentials", f"What it takes to reach Azure is not installed: {error}.", "Install packhouse[azure]."
        )
    except PackhouseError as error:
        return of_error("credentials", error)
    return ok("credentials", "Signed in to Azure.")


def _workspace(azure: Azure, ref: AzureMLWorkspace) -> Iterator[Finding]:
    try:
        store = azure.asset_store(ref)
        azure.workspace(ref).assets.peek()
    except PackhouseError as error:
        yield of_error("workspace", error)
        return
    yield ok("workspace", f"The workspace {ref} answers, and its models can be read.")
    try:
        _write(azure, store.root)
    except PackhouseError as error:
        yield of_error("datastore", error)
        return
    yield ok("datastore", f"The datastore {store.name} ({store.root}) can be read and written.")


def _write(azure: Azure, root: BlobAddress) -> None:
    """Write, read and remove a small blob beside the assets."""
    address = root.child(f"{azure.settings.azure_prefix}/doctor/{uuid.uuid4().hex}")
    blob = azure.blobs.blob(address)
    with azure.blobs.asking(address, f"a blob in {root}", permission=CONTRIBUTOR):
        blob.upload_blob(b"packhouse")
        try:
            blob.get_blob_properties()
        finally:
            blob.delete_blob()


def _container(azure: Azure, entry: str) -> Finding:
    account, _, container = entry.partition("/")
    if container == "*":
        return skipped("container", f"Any container of {account} may be named by events; which ones is theirs to say.")
    address = BlobAddress(account, container)
    try:
        with azure.blobs.asking(address, f"the container {address}", permission=READER):
            next(iter(azure.blobs.container(address).list_blobs(results_per_page=1)), None)
    except PackhouseError as error:
        return of_error("container", error)
    return ok("container", f"{address} can be read.")
