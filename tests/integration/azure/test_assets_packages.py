"""Model assets and data assets of real runs, by real workers, through the unmodified SDK."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.assets import (
    DATA,
    MODELS,
    assets_of,
    client_of,
    code_of,
    container_of,
    downloaded,
    files_of,
    models_of,
    registrations,
    sha256,
    weight_bytes,
)
from support.azure import AzureStandIn
from support.farm import Farm, RunMaker
from support.models import outputs, save

from packhouse.schemas import RunFinished
from packhouse.schemas.status import Asset, PackageResult

# The SDK leaves sockets to be closed when it is collected.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]


def results(farm: Farm, event: RunFinished) -> list[PackageResult]:
    farm.publish(event)
    return farm.wait_final(event, seconds=90).data.packages


def test_both_types_of_one_run_are_registered_share_their_folders_and_send_every_byte_once(
    farm: Farm, azure_here: AzureStandIn, make_run: RunMaker
) -> None:
    azure = azure_here
    farm.start(concurrency=2)
    described = {"config": {"version": 3, "description": "best of the night"}}
    event = make_run(packages=[MODELS | described, DATA], engine={"name": "olive", "version": "0.6.2"})
    models, data = results(farm, event)
    requests = azure.requests

    assert [asset.name for asset in assets_of(models)] == [
        "olive_output_model_cpu-cpu_1",
        "olive_output_model_cpu-cpu_2",
    ]
    assert [asset.name for asset in assets_of(data)] == ["olive_output_data_cpu-cpu_1", "olive_output_data_cpu-cpu_2"]
    best = models.assets[0]
    assert best.uri == "azureml:olive_output_model_cpu-cpu_1:3"
    assert best.id == (
        f"/subscriptions/{azure.subscription}/resourceGroups/{azure.resource_group}/providers/"
        f"Microsoft.MachineLearningServices/workspaces/{azure.workspace}/models/olive_output_model_cpu-cpu_1/versions/3"
    )
    assert best.digest is not None
    folder = best.digest.removeprefix("sha256:")
    assert best.datastore_path == f"azureml://datastores/{azure.datastore}/paths/packhouse/assets/{folder}"
    for one, other in zip(models.assets, data.assets, strict=True):
        assert (one.digest, one.datastore_path) == (other.digest, other.datastore_path)
        assert not one.already_registered
        assert not other.already_registered
    assert models.digest == data.digest
    assert models.files == 10

    client = client_of(azure)
    found = client.models.get("olive_output_model_cpu-cpu_1", "3")
    assert (found.type, found.description) == ("custom_model", "best of the night")
    assert found.path.endswith(f"paths/packhouse/assets/{folder}")
    expected = {
        "packhouse_run": "run-1",
        "packhouse_source": "/test/engine",
        "engine": "olive",
        "engine_version": "0.6.2",
        "accelerator": "cpu-cpu",
        "rank": "1",
        "metric_accuracy": "0.9",
        "packhouse_digest": best.digest,
    }
    assert expected.items() <= found.tags.items()
    assert found.properties["packhouse_digest"] == best.digest
    asset = client.data.get("olive_output_data_cpu-cpu_2", "1")
    assert (asset.type, asset.description) == ("uri_folder", None)
    assert asset.tags["rank"] == "2"

    for at, asset in enumerate(models.assets):
        files = files_of(azure, asset)
        names = ["configurations.json", "inference_config.json", "metrics.json", "model.onnx", "model_info.json"]
        assert sorted(files) == names
        assert files["model.onnx"] == sha256(models_of(event)[at])

    distinct = sum(int(blob.size) for blob in container_of(azure).list_blobs(name_starts_with="packhouse/assets/"))
    assert sum(one.request_bytes for one in requests if ".blob." in one.host) == distinct
    assert len(registrations(requests)) == 4


def test_the_files_of_an_asset_say_nothing_of_its_type_and_its_model_loads(
    farm: Farm, azure: AzureStandIn, make_run: RunMaker, tmp_path: Any
) -> None:
    import onnxruntime as ort

    farm.start()
    (models,) = results(farm, make_run(packages=MODELS, candidates=1))
    folder = (assets_of(models)[0].datastore_path or "").partition("/paths/")[2]
    with container_of(azure) as container:
        texts = {
            str(blob.name).rpartition("/")[2]: container.download_blob(blob.name).readall()
            for blob in container.list_blobs(name_starts_with=folder)
        }
    info = json.loads(texts["model_info.json"])
    assert info["model_config"]["config"]["model_path"] == "model.onnx"
    assert ort.InferenceSession(texts["model.onnx"], providers=["CPUExecutionProvider"]).get_inputs()
    for name, text in texts.items():
        if name.endswith(".json"):
            assert b"olive_output" not in text
            assert b"AzureML" not in text
            assert str(tmp_path).encode() not in text


def test_a_second_run_of_the_same_content_sends_no_weight_and_finds_its_assets_there(
    farm: Farm, azure: AzureStandIn, make_run: RunMaker
) -> None:
    farm.start()
    results(farm, make_run("r1", packages=[MODELS, DATA]))
    azure.forget_requests()
    again = results(farm, make_run("r2", packages=[MODELS, DATA]))
    assert all(asset.already_registered for result in again for asset in assets_of(result))
    assert azure.sent_to_blobs() == 0
    assert registrations(azure.requests) == []


def test_the_same_weight_in_other_assets_is_copied_by_the_server(
    farm: Farm, azure: AzureStandIn, make_run: RunMaker
) -> None:
    farm.start()
    results(farm, make_run("r1", packages=MODELS, candidates=1))
    azure.forget_requests()
    other = make_run("r2", packages=MODELS | {"name": "other"}, candidates=1, engine={"name": "other-engine"})
    changed = other.to_wire().replace(b'"value":0.9', b'"value":0.8')
    (result,) = results(farm, RunFinished.model_validate_json(changed))
    (asset,) = assets_of(result)
    assert weight_bytes(azure.requests) == 0
    assert files_of(azure, asset)["model.onnx"] == sha256(models_of(other)[0])


def test_a_weight_that_has_disappeared_from_the_account_is_sent_again(
    farm: Farm, azure: AzureStandIn, make_run: RunMaker
) -> None:
    farm.start()
    (first,) = results(farm, make_run("r1", packages=MODELS, candidates=1))
    azure.remote.clear()
    azure.forget_requests()
    event = make_run("r2", packages=MODELS, candidates=1)
    (second,) = results(farm, event)
    assert assets_of(second)[0].digest == assets_of(first)[0].digest
    assert weight_bytes(azure.requests) == models_of(event)[0].stat().st_size
    assert not second.assets[0].already_registered


def test_models_that_lie_in_the_account_are_copied_by_the_server(
    farm: Farm, azure: AzureStandIn, make_run: RunMaker
) -> None:
    farm.start()
    event = make_run(packages=MODELS, candidates=1)
    (model,) = models_of(event)
    with container_of(azure) as container:
        container.upload_blob("engine/out/model.onnx", model.read_bytes())
    azure.forget_requests()
    address = f"azureml://datastores/{azure.datastore}/paths/engine/out/model.onnx"
    moved = RunFinished.model_validate_json(event.to_wire().replace(str(model).encode(), address.encode()))
    (result,) = results(farm, moved)
    assert weight_bytes(azure.requests) == 0
    assert files_of(azure, assets_of(result)[0])["model.onnx"] == sha256(model)


def test_a_taken_version_fails_before_anything_is_uploaded_and_auto_finds_the_next_one(
    farm: Farm, azure: AzureStandIn, make_run: RunMaker
) -> None:
    farm.start()
    (first,) = results(farm, make_run("r1", packages=MODELS, candidates=1))
    other = make_run("r3", packages=MODELS, candidates=1).to_wire().replace(b'"value":0.9', b'"value":0.7')
    azure.forget_requests()
    (refused,) = results(farm, RunFinished.model_validate_json(other))
    assert code_of(refused) == "asset_version_taken"
    assert refused.error is not None
    assert str(first.assets[0].digest) in refused.error.message
    assert '"version": "auto"' in refused.error.fix
    assert azure.sent_to_blobs() == 0
    assert registrations(azure.requests) == []

    automatic = MODELS | {"config": {"version": "auto"}}
    (second,) = results(farm, make_run("r4", packages=automatic, candidates=1))
    assert [asset.version for asset in assets_of(second)] == ["2"]
    (third,) = results(farm, make_run("r5", packages=automatic, candidates=1))
    assert [asset.version for asset in assets_of(third)] == ["3"]


def test_the_operator_may_make_auto_the_default(
    farm_of: Callable[..., Farm], azure: AzureStandIn, make_run: RunMaker
) -> None:
    farm = farm_of(PACKHOUSE_AZURE_DEFAULT_VERSION="auto", PACKHOUSE_AZURE_PREFIX="team/a")
    farm.start()
    versions: list[str] = []
    for run in ("r1", "r2"):
        (result,) = results(farm, make_run(run, packages=DATA, candidates=1))
        versions += [asset.version for asset in assets_of(result)]
        assert "/paths/team/a/assets/" in (result.assets[0].datastore_path or "")
    assert versions == ["1", "2"]
    fixed = DATA | {"config": {"version": "1"}}
    assert assets_of(results(farm, make_run("r3", packages=fixed, candidates=1))[0])[0].already_registered


def test_two_packhouses_registering_the_same_content_at_once_both_succeed_and_one_was_first(
    farm_of: Callable[..., Farm], azure: AzureStandIn, make_run: RunMaker
) -> None:
    one, other = farm_of(), farm_of()
    for farm in (one, other):
        farm.hold("azure.uploaded")
        farm.start()
    first, second = make_run("r1", packages=MODELS), make_run("r2", packages=MODELS)
    one.publish(first)
    other.publish(second)
    one.wait_reached("azure.uploaded")
    other.wait_reached("azure.uploaded")
    one.let_go("azure.uploaded")
    other.let_go("azure.uploaded")
    finals = [farm.wait_final(event).data.packages[0] for farm, event in ((one, first), (other, second))]
    assert [asset.uri for asset in assets_of(finals[0])] == [asset.uri for asset in assets_of(finals[1])]
    assert [asset.digest for asset in finals[0].assets] == [asset.digest for asset in finals[1].assets]


def test_two_workers_with_the_same_content_at_once_send_it_once_and_register_it_once(
    farm: Farm, azure: AzureStandIn, make_run: RunMaker
) -> None:
    farm.start(2)
    events = [make_run(f"r{number}", packages=[MODELS, DATA]) for number in range(3)]
    for event in events:
        farm.publish(event)
    finals = [farm.wait_final(event, seconds=90).data for event in events]
    assert {final.state for final in finals} == {"succeeded"}
    assert weight_bytes(azure.requests) == sum(path.stat().st_size for path in models_of(events[0]))
    asked = registrations(azure.requests)
    assert len(asked) == len(set(asked)) == 4
    assets: list[Asset] = [asset for final in finals for package in final.packages for asset in package.assets]
    assert sum(not asset.already_registered for asset in assets) == 4


def test_an_event_may_name_only_workspaces_of_the_settings(
    farm_of: Callable[..., Farm], azure: AzureStandIn, make_run: RunMaker
) -> None:
    names = [f"{azure.subscription}/{azure.resource_group}/{name}" for name in (azure.workspace, azure.other_workspace)]
    farm = farm_of(PACKHOUSE_AZURE_WORKSPACES=";".join(names))
    farm.start()
    workspace = {
        "subscription_id": azure.subscription,
        "resource_group": azure.resource_group,
        "workspace_name": azure.other_workspace,
    }
    (result,) = results(farm, make_run("r1", packages=MODELS, candidates=1, azureml=workspace))
    assert f"/workspaces/{azure.other_workspace}/" in (assets_of(result)[0].id or "")
    assert not list(container_of(azure).list_blobs())
    before = azure.requests
    foreign = workspace | {"workspace_name": "elsewhere"}
    event = make_run("r2", packages=[MODELS, {"type": "Zipfile"}], candidates=1, azureml=foreign)
    refused, _ = results(farm, event)
    assert code_of(refused) == "workspace_forbidden"
    assert farm.wait_final(event).data.state == "partly_succeeded"
    assert len(azure.requests) == len(before)


def test_both_types_are_registered_in_the_mlflow_format(
    farm: Farm, azure_here: AzureStandIn, make_run: RunMaker, tmp_path: Path
) -> None:
    farm.start(concurrency=2)
    flow = {"config": {"export_in_mlflow_format": True}}
    event = make_run(packages=[MODELS | flow, DATA | flow], candidates=1)
    weights = save(models_of(event)[0], external="weights.bin").with_name("weights.bin")
    client, results_of_both = client_of(azure_here), results(farm, event)
    [model], [data] = [assets_of(result) for result in results_of_both]
    assert client.models.get(model.name, "1").type == "mlflow_model"
    assert client.data.get(data.name, "1").type == "uri_folder"
    assert model.datastore_path == data.datastore_path
    folder = downloaded(azure_here, model, tmp_path / "downloaded")
    described = json.loads((folder / "MLmodel").read_text())
    assert described["flavors"]["python_function"]["loader_module"] == "mlflow.onnx"
    assert described["flavors"]["onnx"]["data"] == "model.onnx"
    assert {"conda.yaml", "python_env.yaml", "requirements.txt"} <= {each.name for each in folder.iterdir()}
    assert (folder / weights.name).read_bytes() == weights.read_bytes()
    assert outputs(folder / "model.onnx") == outputs(models_of(event)[0])
