"""The stand-in for Azure, driven by the unmodified SDK."""

from __future__ import annotations

import json
import threading
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
import requests
from support.azure import AzureStandIn

from packhouse.worker.azure.assets import AssetKind, Assets, NewAsset

if TYPE_CHECKING:
    from azure.ai.ml import MLClient
    from azure.storage.blob import BlobServiceClient, ContainerClient

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def ml(azure_here: AzureStandIn) -> Iterator[MLClient]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from azure.ai.ml import MLClient
        from azure.identity import DefaultAzureCredential

        with DefaultAzureCredential() as credential:
            yield MLClient(
                credential,
                azure_here.subscription,
                azure_here.resource_group,
                azure_here.workspace,
                enable_telemetry=False,
                retry_total=1,
                retry_backoff_factor=0.1,
            )


@pytest.fixture
def blobs(azure_here: AzureStandIn) -> Iterator[BlobServiceClient]:
    from azure.identity import EnvironmentCredential
    from azure.storage.blob import BlobServiceClient

    with (
        EnvironmentCredential() as credential,
        BlobServiceClient(
            f"https://{azure_here.account}.blob.core.windows.net",
            credential,
            retry_total=1,
            initial_backoff=0.1,
            max_single_put_size=1024 * 1024,
        ) as client,
    ):
        yield client


@pytest.fixture
def impatient(azure_here: AzureStandIn, blobs: BlobServiceClient) -> Iterator[ContainerClient]:
    """A client of the datastore's container that does not try again."""
    from azure.storage.blob import ContainerClient

    with ContainerClient.from_container_url(azure_here.blob_url, blobs.credential, retry_total=0) as container:
        yield container


@pytest.fixture
def uploaded(azure_here: AzureStandIn, blobs: BlobServiceClient) -> str:
    """Path in the datastore of a folder with one blob; beside it lies ``elsewhere``."""
    container = blobs.get_container_client(azure_here.container)
    container.upload_blob("assets/one/model.onnx", b"weights")
    container.upload_blob("assets/elsewhere/model.onnx", b"other weights")
    return "assets/one"


def reference(azure: AzureStandIn, path: str) -> str:
    return f"azureml://datastores/{azure.datastore}/paths/{path}"


def model(azure: AzureStandIn, path: str, **more: Any) -> Any:
    from azure.ai.ml.entities import Model

    fields: dict[str, Any] = {"name": "olive_output_model_cpu-cpu_1", "version": "1", "type": "custom_model"}
    return Model(path=reference(azure, path), **{**fields, **more})


def data_asset(azure: AzureStandIn, path: str, **more: Any) -> Any:
    from azure.ai.ml.entities import Data

    fields: dict[str, Any] = {"name": "olive_output_model_cpu-cpu_1", "version": "1", "type": "uri_folder"}
    return Data(path=reference(azure, path), **{**fields, **more})


def test_the_default_datastore_names_the_workspaces_container(ml: MLClient, azure: AzureStandIn) -> None:
    store: Any = ml.datastores.get_default()
    assert (store.name, store.account_name, store.container_name) == (azure.datastore, azure.account, azure.container)
    assert ml.datastores.get(azure.datastore).name == azure.datastore
    workspace = ml.workspaces.get(azure.workspace)
    assert workspace is not None
    assert str(workspace.storage_account).endswith(azure.account)


@pytest.mark.parametrize("kind", ["models", "data"])
def test_an_asset_registered_by_reference_is_read_back(
    ml: MLClient, azure: AzureStandIn, uploaded: str, kind: str
) -> None:
    operations: Any = getattr(ml, kind)
    make = model if kind == "models" else data_asset
    made = operations.create_or_update(
        make(azure, uploaded, description="a candidate", tags={"rank": "1"}, properties={"digest": "sha256:0"})
    )
    scope = f"/subscriptions/{azure.subscription}/resourceGroups/{azure.resource_group}"
    name = "olive_output_model_cpu-cpu_1"
    assert made.id == (
        f"{scope}/providers/Microsoft.MachineLearningServices/workspaces/{azure.workspace}/{kind}/{name}/versions/1"
    )
    found = operations.get(name, "1")
    assert (found.name, found.version, found.description) == (name, "1", "a candidate")
    assert (found.tags, found.properties["digest"]) == ({"rank": "1"}, "sha256:0")
    assert found.path.endswith(f"/datastores/{azure.datastore}/paths/{uploaded}")
    assert [(one.name, one.version) for one in operations.list(name)] == [(name, "1")]
    assert [one.name for one in operations.list()] == [name]
    assert sum(one.request_bytes for one in azure.requests if one.method == "PUT" and ".blob." in one.host) == len(
        b"weights" + b"other weights"
    )


def test_the_same_content_again_changes_the_metadata_alone(ml: MLClient, azure: AzureStandIn, uploaded: str) -> None:
    first = ml.models.create_or_update(model(azure, uploaded, tags={"seen": "once"}))
    again = ml.models.create_or_update(model(azure, uploaded, tags={"seen": "twice"}))
    assert first.id == again.id
    assert ml.models.get(str(first.name), "1").tags == {"seen": "twice"}


def test_other_content_under_a_taken_version_is_a_conflict(ml: MLClient, azure: AzureStandIn, uploaded: str) -> None:
    from azure.core.exceptions import ResourceExistsError

    ml.models.create_or_update(model(azure, uploaded))
    with pytest.raises(ResourceExistsError) as refused:
        ml.models.create_or_update(model(azure, "assets/elsewhere"))
    assert refused.value.status_code == 409
    assert str(ml.models.get("olive_output_model_cpu-cpu_1", "1").path).endswith(uploaded)


def test_a_path_that_is_not_there_is_refused(ml: MLClient, azure: AzureStandIn) -> None:
    from azure.core.exceptions import HttpResponseError

    with pytest.raises(HttpResponseError, match="ModelAssetPathNotFoundInStorage") as refused:
        ml.models.create_or_update(model(azure, "assets/nowhere"))
    assert refused.value.status_code == 400
    with pytest.raises(HttpResponseError, match="not found in storage"):
        ml.data.create_or_update(data_asset(azure, "assets/on"))


def test_an_mlflow_model_without_its_mlmodel_and_an_unknown_type_are_refused(
    ml: MLClient, azure: AzureStandIn, blobs: BlobServiceClient, uploaded: str
) -> None:
    from azure.core.exceptions import HttpResponseError

    with pytest.raises(HttpResponseError, match="holds a file MLmodel"):
        ml.models.create_or_update(model(azure, uploaded, type="mlflow_model"))
    with pytest.raises(HttpResponseError, match="'onnx_model' is no modelType"):
        ml.models.create_or_update(model(azure, uploaded, type="onnx_model"))
    blobs.get_container_client(azure.container).upload_blob(f"{uploaded}/MLmodel", b"{}")
    assert ml.models.create_or_update(model(azure, uploaded, type="mlflow_model")).type == "mlflow_model"


@pytest.mark.parametrize(
    ("kind", "mlflow", "type_there"),
    [("models", True, "mlflow_model"), ("models", False, "custom_model"), ("data", True, "uri_folder")],
)
def test_only_a_model_in_the_mlflow_format_is_registered_as_one(
    ml: MLClient, azure: AzureStandIn, blobs: BlobServiceClient, uploaded: str, kind: str, mlflow: bool, type_there: str
) -> None:
    blobs.get_container_client(azure.container).upload_blob(f"{uploaded}/MLmodel", b"{}")
    asset = NewAsset(AssetKind(kind), "bert_cpu-cpu_1", "1", reference(azure, uploaded), mlflow=mlflow)
    Assets(ml, azure.workspace).register(asset)
    assert getattr(ml, kind).get(asset.name, "1").type == type_there


def test_what_is_not_there_is_not_found(ml: MLClient, azure: AzureStandIn) -> None:
    from azure.ai.ml import MLClient
    from azure.core.exceptions import ResourceNotFoundError

    with pytest.raises(ResourceNotFoundError):
        ml.models.get("nobody", "1")
    elsewhere = MLClient(ml._credential, azure.subscription, azure.resource_group, "nowhere", enable_telemetry=False)
    with pytest.raises(ResourceNotFoundError, match="workspaces/nowhere"):
        elsewhere.datastores.get_default()


def test_long_lists_come_in_pages(ml: MLClient, azure: AzureStandIn, uploaded: str) -> None:
    for number in range(1, 24):
        ml.data.create_or_update(data_asset(azure, uploaded, version=str(number)))
    assert len({one.version for one in ml.data.list("olive_output_model_cpu-cpu_1")}) == 23
    without: Any = data_asset(azure, uploaded, version=None)
    assert ml.data.create_or_update(without).version == "24"


def test_a_field_that_azure_does_not_know_is_refused(ml: MLClient, azure: AzureStandIn, uploaded: str) -> None:
    token = ml._credential.get_token("https://management.azure.com/.default").token
    url = (
        f"https://management.azure.com/subscriptions/{azure.subscription}/resourceGroups/{azure.resource_group}/providers/"
        f"Microsoft.MachineLearningServices/workspaces/{azure.workspace}/models/m/versions/1"
    )

    def put(**fields: Any) -> requests.Response:
        properties = {"modelUri": reference(azure, uploaded), "modelType": "custom_model", **fields}
        return requests.put(
            url, json={"properties": properties}, headers={"Authorization": f"Bearer {token}"}, timeout=20
        )

    assert put(digest="sha256:0").status_code == 400
    assert put(tags={"rank": 1}).status_code == 400
    assert put(tags={"rank": "1"}).status_code == 201
    assert requests.get(url, timeout=20).status_code == 401


@pytest.mark.parametrize("credentials", ["Sas", "AccountKey"])
def test_secrets_of_a_datastore_open_its_container(ml: MLClient, azure: AzureStandIn, credentials: str) -> None:
    from azure.storage.blob import ContainerClient

    azure.remote.datastores(credentials)
    store: Any = ml.datastores.get_default(include_secrets=True)
    secret = store.credentials.sas_token if credentials == "Sas" else store.credentials.account_key
    with ContainerClient.from_container_url(azure.blob_url, credential=secret) as container:
        container.upload_blob("by-secret", b"x")
        assert [blob.name for blob in container.list_blobs()] == ["by-secret"]
    assert secret not in json.dumps([one.model_dump() for one in azure.requests])


def test_a_wrong_secret_does_not_sign_in(azure_here: AzureStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    from azure.core.exceptions import ClientAuthenticationError
    from azure.identity import EnvironmentCredential

    monkeypatch.setenv("AZURE_CLIENT_SECRET", "wrong")
    with EnvironmentCredential() as credential, pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
        credential.get_token("https://storage.azure.com/.default")


def test_the_proxy_leads_nowhere_else(azure_here: AzureStandIn) -> None:
    with pytest.raises(requests.exceptions.ProxyError):
        requests.get("https://example.invalid/", timeout=20)


def test_bytes_are_counted_where_the_encryption_ends(azure_here: AzureStandIn, blobs: BlobServiceClient) -> None:
    content = bytes(range(256)) * (40 * 1024)
    blob = blobs.get_blob_client(azure_here.container, "large")
    blob.upload_blob(content, length=len(content), max_concurrency=2)
    assert blob.download_blob(offset=5, length=1000).readall() == content[5:1005]
    assert blob.download_blob().readall() == content
    log = [one for one in azure_here.requests if one.path.endswith("/large")]
    assert sum(one.request_bytes for one in log if "comp=block&" in f"{one.query}&") == len(content)
    assert sum(one.response_bytes for one in log if one.method == "GET") == 1000 + len(content)
    assert {one.credential for one in log} == {"Bearer"}


def test_a_status_can_be_forced_on_so_many_requests(azure_here: AzureStandIn, impatient: ContainerClient) -> None:
    from azure.core.exceptions import HttpResponseError

    with azure_here.faults.on(method="PUT", path="/busy", status=503, code="ServerBusy", retry_after=7) as fault:
        with pytest.raises(HttpResponseError, match="ServerBusy") as refused:
            impatient.upload_blob("busy", b"x")
        response: Any = refused.value.response
        assert (response.status_code, response.headers["Retry-After"]) == (503, "7")
        impatient.upload_blob("busy", b"x")
        assert fault.struck == 1


def test_faults_strike_the_workspace_too(ml: MLClient, azure: AzureStandIn) -> None:
    from azure.core.exceptions import HttpResponseError

    azure.faults.on(host="management", path="/datastores", status=403, code="AuthorizationFailed", times=None)
    with pytest.raises(HttpResponseError, match="AuthorizationFailed") as refused:
        ml.datastores.get_default()
    assert refused.value.status_code == 403


def test_a_connection_can_be_cut_in_the_middle_of_a_body(azure_here: AzureStandIn, impatient: ContainerClient) -> None:
    from azure.core.exceptions import AzureError

    with azure_here.faults.on(method="PUT", path="/cut", cut_request_after=100_000), pytest.raises(AzureError):
        impatient.upload_blob("cut", b"x" * 300_000)
    assert [one.request_bytes for one in azure_here.requests if one.fault] == [100_000]
    assert not impatient.get_blob_client("cut").exists()


def test_an_answer_can_be_lost(azure_here: AzureStandIn, impatient: ContainerClient) -> None:
    from azure.core.exceptions import AzureError

    with azure_here.faults.on(method="PUT", path="/lost", cut_response_after=0), pytest.raises(AzureError):
        impatient.upload_blob("lost", b"carried out all the same")
    assert impatient.download_blob("lost").readall() == b"carried out all the same"
    with azure_here.faults.on(method="GET", path="/lost", cut_response_after=4, times=None) as half:
        with pytest.raises(AzureError):
            impatient.download_blob("lost").readall()
        assert half.struck >= 1
    assert {one.response_bytes for one in azure_here.requests if one.fault == half.number} == {4}


def test_a_delayed_request_goes_on_when_the_fault_is_gone(azure_here: AzureStandIn, blobs: BlobServiceClient) -> None:
    held = azure_here.faults.on(path="/held", delay=60)
    uploading = threading.Thread(
        target=blobs.get_container_client(azure_here.container).upload_blob, args=("held", b"x")
    )
    uploading.start()
    held.wait_struck()
    assert not any(one.status for one in azure_here.requests if one.path.endswith("/held"))
    held.off()
    uploading.join(20)
    assert not uploading.is_alive()


def test_what_was_registered_is_there_after_a_restart(ml: MLClient, azure: AzureStandIn, uploaded: str) -> None:
    ml.models.create_or_update(model(azure, uploaded, tags={"kept": "yes"}))
    azure.stop()
    azure.start()
    assert ml.models.get("olive_output_model_cpu-cpu_1", "1").tags == {"kept": "yes"}
    assert ml.models.create_or_update(model(azure, uploaded)).version == "1"
