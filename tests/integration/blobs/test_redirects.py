"""An answer that sends to another address is not followed: who is asked was decided by settings, and by nobody else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.azure import AzureStandIn
from support.blobs import BlobPlace
from support.served import Served

from packhouse.schemas.errors import ErrorCode, PackhouseError
from packhouse.schemas.events import AzureMLWorkspace
from packhouse.worker.azure.workspace import Workspace
from packhouse.worker.storage.readable import read_full

METADATA = "/metadata/identity/oauth2/token"


@pytest.fixture
def inside() -> Iterator[Served]:
    """A server that only this machine reaches, as a cloud's metadata service is."""
    with Served(files={METADATA: b"a token"}) as served:
        yield served


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_a_blob_that_sends_elsewhere_is_not_read(place: BlobPlace, inside: Served, status: int, method: str) -> None:
    place.put("m.onnx", b"model")
    elsewhere = {"status": status, "location": inside.url + METADATA}
    with (
        place.azure.faults.on(method=method, times=None, **elsewhere),
        pytest.raises(PackhouseError) as caught,
        place.storage.open_file(place.at("m.onnx")) as file,
    ):
        read_full(file, memoryview(bytearray(file.size)), 0)
    assert caught.value.code is ErrorCode.AZURE_REFUSED
    assert inside.requests == []
    assert "sig=" not in f"{caught.value} {caught.value.fix}"


@pytest.mark.parametrize("status", [307, 308])
def test_what_is_written_is_sent_nowhere_else(place: BlobPlace, inside: Served, status: int) -> None:
    address = place.root.child("out.zip")
    with (
        place.azure.faults.on(method="PUT", times=None, status=status, location=inside.url + METADATA),
        pytest.raises(PackhouseError) as caught,
        place.clients.asking(address, "the package", permission="Storage Blob Data Contributor"),
    ):
        place.clients.blob(address).upload_blob(b"a package", overwrite=True)
    assert caught.value.code is ErrorCode.AZURE_REFUSED
    assert inside.requests == []


@pytest.mark.filterwarnings("ignore")  # importing the SDK warns of what it uses itself
def test_a_workspace_that_sends_elsewhere_is_not_followed(azure_here: AzureStandIn, inside: Served) -> None:
    reference = AzureMLWorkspace(
        subscription_id=azure_here.subscription,
        resource_group=azure_here.resource_group,
        workspace_name=azure_here.workspace,
    )
    with (
        azure_here.faults.on(
            host="management", path="datastores", times=None, status=302, location=inside.url + METADATA
        ),
        pytest.raises(PackhouseError) as caught,
    ):
        Workspace(reference).datastore()
    assert caught.value.code is ErrorCode.AZURE_REFUSED
    assert inside.requests == []
