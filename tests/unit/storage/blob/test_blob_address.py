from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packhouse.schemas.blob.address import BlobAddress, DatastorePath
from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.events import FinishedRun
from packhouse.worker.storage.blob.access import AllowList, end_of
from packhouse.worker.storage.location import Location

ACCOUNT = "https://acct1.blob.core.windows.net"
PARTS = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/\\"), min_size=1, max_size=20
).filter(lambda part: not part.endswith("."))


def refusal(url: str) -> PermanentError:
    with pytest.raises(PermanentError) as caught:
        BlobAddress.parse(url)
    assert caught.value.fix
    return caught.value


@given(st.lists(PARTS, max_size=5))
def test_an_address_is_read_back_from_its_url(parts: list[str]) -> None:
    address = BlobAddress("acct1", "models", "/".join(parts))
    assert BlobAddress.parse(str(address)) == address
    assert BlobAddress.parse(f"{address}/") == address


@given(st.lists(PARTS, min_size=1, max_size=3), PARTS)
def test_a_location_below_another_is_the_blob_below_its_blob(parts: list[str], name: str) -> None:
    folder = BlobAddress("acct1", "models", "/".join(parts))
    location = Location(str(folder), str(folder))
    child = location.child(name)
    assert BlobAddress.parse(child.path) == folder.child(name)
    assert child.name == name
    assert child.shown == child.path
    assert BlobAddress.parse(child.parent.path) == folder


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/container/blob",
        "https://acct1.blob.core.windows.net.example.org/container/blob",
        "https://acct1.blob.core.windows.net:444/container/blob",
        "https://user:secret@acct1.blob.core.windows.net/container/blob",
        "https://ACCT1.blob.core.windows.net/container/blob",
        "http://acct1.blob.core.windows.net/container/blob",
        f"{ACCOUNT}/",
        f"{ACCOUNT}/UPPER/blob",
        f"{ACCOUNT}/a--b/blob",
        f"{ACCOUNT}/%2e%2e/blob",
    ],
)
def test_what_is_no_blob_is_refused(url: str) -> None:
    assert refusal(url).code is ErrorCode.LOCATION_UNSUPPORTED


@pytest.mark.parametrize(
    "path",
    [
        "../other/x",
        "a/../../x",
        "a//b",
        "./a",
        "%2e%2e/other/x",
        "a%2f..%2fb",
        "a%5c..%5cb",
        "a/b.",
        "a%00",
        "a" * 1025,
    ],
)
def test_a_path_that_could_lead_elsewhere_is_refused(path: str) -> None:
    assert refusal(f"{ACCOUNT}/models/{path}").code is ErrorCode.PATH_FORBIDDEN


@pytest.mark.parametrize("query", ["?sv=2024&sig=c2VjcmV0", "#sig=c2VjcmV0", "?"])
def test_a_query_is_refused_and_not_repeated(query: str) -> None:
    error = refusal(f"{ACCOUNT}/models/m.onnx{query}")
    assert error.code is ErrorCode.LOCATION_UNSUPPORTED
    assert "c2VjcmV0" not in f"{error.message} {error.fix}"
    assert f"{ACCOUNT}/models/m.onnx" in error.message


def test_an_event_cannot_carry_a_signature() -> None:
    fields = {"engine": {"name": "x"}, "output_dir": f"{ACCOUNT}/c/out"}
    assert FinishedRun.model_validate(fields).output_dir == f"{ACCOUNT}/c/out"
    with pytest.raises(ValueError, match="must have no query"):
        FinishedRun.model_validate(fields | {"output_dir": f"{ACCOUNT}/c/out?sig=x"})


def test_a_place_in_a_datastore() -> None:
    place = DatastorePath.parse("azureml://datastores/workspaceblobstore/paths/a b/ü.onnx")
    assert place == DatastorePath("workspaceblobstore", "a b/ü.onnx")
    assert DatastorePath.parse("azureml://datastores/d/paths/").path == ""
    for url in ("azureml://datastores/d", "azureml://models/m/versions/1", "azureml://datastores/d/paths/../x"):
        with pytest.raises(PermanentError):
            DatastorePath.parse(url)


def test_containers_are_allowed_one_by_one_or_by_account() -> None:
    allowed = AllowList(["acct1/models", "acct2/*"])
    assert BlobAddress("acct1", "models", "x") in allowed
    assert BlobAddress("acct1", "models2", "x") not in allowed
    assert BlobAddress("acct2", "anything", "x") in allowed
    assert BlobAddress("acct3", "*", "x") not in allowed


def test_the_end_of_a_signature() -> None:
    assert end_of("sv=1&se=1970-01-01T00%3A01%3A00Z&sig=x") == 60
    assert end_of("sv=1&sig=x") is None
    assert end_of("se=tomorrow") is None
