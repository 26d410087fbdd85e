"""Runs whose models become assets, and looking at what came of them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
from azure.storage.blob import ContainerClient
from onnx import TensorProto, helper
from support.azure import AzureStandIn

from packhouse.local.azure.standin.log import Record
from packhouse.schemas import PackageResult, RunFinished
from packhouse.schemas.status import Asset

MODELS: dict[str, Any] = {"type": "AzureMLModels", "name": "olive_output_model"}
DATA: dict[str, Any] = {"type": "AzureMLData", "name": "olive_output_data"}


def models_of(event: RunFinished) -> list[Path]:
    """The model files of a run, best first."""
    nodes = [node.model for node in event.data.footprints[0].nodes if node.model]
    return [Path(node.model_path) for node in nodes if node.model_path]


def assets_of(result: PackageResult) -> list[Asset]:
    assert result.state == "succeeded", result.error
    return result.assets


def code_of(result: PackageResult) -> str:
    assert result.state == "failed", result
    assert result.error is not None
    assert result.error.fix
    return str(result.error.code)


def container_of(azure: AzureStandIn) -> ContainerClient:
    """The default datastore's container, with the key of its account."""
    return ContainerClient(
        f"https://{azure.account}.blob.core.windows.net",
        azure.container,
        {"account_name": azure.account, "account_key": azure.identity.account_key(azure.account)},
        proxies={"https": azure.environment["HTTPS_PROXY"]},
        connection_verify=azure.environment["REQUESTS_CA_BUNDLE"],
        retry_total=0,
    )


def client_of(azure: AzureStandIn) -> Any:
    """A client of the default workspace, for tests that have ``azure_here``."""
    from azure.ai.ml import MLClient
    from azure.identity import DefaultAzureCredential

    return MLClient(
        DefaultAzureCredential(),
        azure.subscription,
        azure.resource_group,
        azure.workspace,
        enable_telemetry=False,
        show_progress=False,
    )


def files_of(azure: AzureStandIn, asset: Asset) -> dict[str, str]:
    """Path in an asset's folder to the SHA-256 of what is downloaded from there."""
    assert asset.datastore_path is not None
    prefix = asset.datastore_path.partition("/paths/")[2] + "/"
    with container_of(azure) as container:
        names = [str(blob.name) for blob in container.list_blobs(name_starts_with=prefix)]
        return {
            name.removeprefix(prefix): hashlib.sha256(container.download_blob(name).readall()).hexdigest()
            for name in names
        }


def downloaded(azure: AzureStandIn, asset: Asset, folder: Path) -> Path:
    """The folder of an asset as it is downloaded."""
    assert asset.datastore_path is not None
    prefix = asset.datastore_path.partition("/paths/")[2] + "/"
    with container_of(azure) as container:
        for blob in container.list_blobs(name_starts_with=prefix):
            place = folder / str(blob.name).removeprefix(prefix)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(container.download_blob(blob.name).readall())
    return folder


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def weight_bytes(requests: list[Record]) -> int:
    """Bytes of model files that were sent: of the bodies of requests that write blobs not ending in ``.json``."""
    return sum(one.request_bytes for one in requests if ".blob." in one.host and not one.path.endswith(".json"))


def registrations(requests: list[Record]) -> list[str]:
    """Asset and version of every request that asked to register one, whatever was answered."""
    return [
        "/".join(one.path.split("/")[-4:])
        for one in requests
        if one.method == "PUT" and one.host == "management.azure.com"
    ]


def make_heavy(path: Path, size: int) -> Path:
    """Give an ONNX model external data of so many bytes, all different; returns that file."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[size // 4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="weights.bin")
    node = helper.make_node("Identity", ["w"], ["y"])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [size // 4])
    onnx.save(helper.make_model(helper.make_graph([node], "g", [], [output], [tensor])), path)
    weights = path.with_name("weights.bin")
    numbers = random.Random(size)
    with weights.open("wb") as file:
        for at in range(0, size, 1 << 20):
            file.write(numbers.randbytes(min(1 << 20, size - at)))
    return weights


def make_large(path: Path, size: int) -> Path:
    """Make an ONNX model of one file that has so many bytes of weights, all different; returns the file."""
    weights = random.Random(size).randbytes(size)
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[size // 4], raw_data=weights)
    node = helper.make_node("Identity", ["w"], ["y"])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [size // 4])
    onnx.save(helper.make_model(helper.make_graph([node], "g", [], [output], [tensor])), path)
    return path


def secrets_of(azure: AzureStandIn) -> Iterator[str]:
    """What must not be found in any status or log."""
    yield azure.identity.client_secret
    for account in azure.identity.accounts:
        yield account.key
