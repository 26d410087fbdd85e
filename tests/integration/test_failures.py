"""A package that cannot be made fails by itself, with the reason; whatever else the run asks for is made."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper
from support.disks import SmallDisk
from support.farm import Farm, RunMaker

from packhouse.schemas import PackageResult, RunFinished
from packhouse.worker.settings import Settings


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("storage")


@pytest.fixture(scope="module")
def standing(base: Path, redis_server: str) -> Iterator[Farm]:
    """One worker for all tests of this file, without the rights of root over files."""
    settings = Settings(
        redis_url=redis_server,
        namespace=f"test-{uuid.uuid4().hex[:12]}",
        roots=(str(base / "root"),),
        sweep_seconds=0.3,
        retry_seconds=0.05,
        retry_limit=3,
    )
    (base / "root").mkdir()
    farm = Farm(settings, base)
    if os.geteuid() == 0:
        farm.prefix = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    farm.start()
    yield farm
    farm.close()


@pytest.fixture
def make_run(base: Path, data: Path) -> RunMaker:
    """Runs whose models and packages lie in a folder of their own, below the root of the standing worker."""
    return RunMaker(base / "root" / uuid.uuid4().hex[:8], data)


def model_of(event: RunFinished, number: int = 0) -> Path:
    model = event.data.footprints[0].nodes[number + 1].model
    assert model is not None
    assert model.model_path is not None
    return Path(model.model_path)


def with_external_data(path: Path, location: str) -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    node = helper.make_node("Identity", ["w"], ["y"])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    onnx.save(helper.make_model(helper.make_graph([node], "g", [], [output], [tensor])), path)


def outcome(farm: Farm, event: RunFinished) -> PackageResult:
    """The result of the first package; the one beside it, if any, has to be untouched by its failure."""
    farm.publish(event)
    first, *others = farm.wait_final(event).data.packages
    assert all(other.state == "succeeded" for other in others)
    return first


def code_of(result: PackageResult) -> str:
    assert result.state == "failed"
    assert result.error is not None
    assert result.error.fix
    return result.error.code


def missing(path: Path) -> None:
    path.unlink()


def unreadable(path: Path) -> None:
    path.chmod(0)


def not_onnx(path: Path) -> None:
    path.write_text("this is no model")


def external_missing(path: Path) -> None:
    with_external_data(path, "weights.bin")


def external_outside(path: Path) -> None:
    (path.parent.parent / "weights.bin").write_bytes(bytes(16))
    with_external_data(path, "../weights.bin")


def external_absolute(path: Path) -> None:
    with_external_data(path, "/etc/hostname")


def external_truncated(path: Path) -> None:
    with_external_data(path, "weights.bin")
    model = onnx.load(path, load_external_data=False)
    model.graph.initializer[0].external_data.add(key="length", value="16")
    onnx.save(model, path)
    (path.parent / "weights.bin").write_bytes(bytes(8))


def link_out_of_the_roots(path: Path) -> None:
    outside = path.parents[5] / f"{uuid.uuid4().hex}.onnx"
    shutil.move(path, outside)
    path.symlink_to(outside)


def folder_in_its_place(path: Path) -> None:
    path.unlink()
    path.mkdir()


def pipe_in_its_place(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (missing, "model_missing"),
        (unreadable, "model_unreadable"),
        (not_onnx, "model_not_onnx"),
        (external_missing, "external_data_missing"),
        (external_outside, "external_data_outside"),
        (external_absolute, "external_data_outside"),
        (external_truncated, "external_data_truncated"),
        (link_out_of_the_roots, "path_forbidden"),
        (pipe_in_its_place, "model_unreadable"),
    ],
)
def test_a_model_that_cannot_be_packaged_fails_the_package_and_says_why(
    standing: Farm, make_run: RunMaker, damage: Any, code: str
) -> None:
    event = make_run(uuid.uuid4().hex)
    damage(model_of(event))
    assert code_of(outcome(standing, event)) == code
    out = Path(event.data.output_dir)
    assert not out.exists() or not list(out.iterdir())


def test_a_path_outside_the_storage_roots_is_not_read(standing: Farm, make_run: RunMaker, base: Path) -> None:
    event = make_run(uuid.uuid4().hex)
    outside = base / "secret.onnx"
    shutil.copy(model_of(event), outside)
    changed = event.to_wire().replace(str(model_of(event)).encode(), str(outside).encode())
    result = outcome(standing, RunFinished.model_validate_json(changed))
    assert code_of(result) == "path_forbidden"
    assert result.error is not None
    assert str(outside) in result.error.message


@pytest.mark.parametrize("kind", ["AzureMLModels", "AzureMLData"])
def test_without_a_workspace_assets_fail_naming_the_setting_and_the_others_succeed(
    standing: Farm, make_run: RunMaker, kind: str
) -> None:
    event = make_run(uuid.uuid4().hex, packages=[{"type": kind}, {"type": "Zipfile"}])
    result = outcome(standing, event)
    assert code_of(result) == "workspace_unknown"
    assert result.error is not None
    assert "PACKHOUSE_AZURE_WORKSPACES" in result.error.fix
    assert standing.wait_final(event).data.state == "partly_succeeded"


def test_a_model_that_mlflow_cannot_open_fails_that_package_and_the_others_succeed(
    standing: Farm, make_run: RunMaker
) -> None:
    flow = {"type": "Zipfile", "name": "Flow", "config": {"export_in_mlflow_format": True}}
    event = make_run(uuid.uuid4().hex, packages=[flow, {"type": "Zipfile"}])
    for footprint in event.data.footprints:
        for node in footprint.nodes:
            if node.model is not None:
                node.model.config["use_ort_extensions"] = True
    assert code_of(outcome(standing, event)) == "mlflow_unsupported"
    assert standing.wait_final(event).data.state == "partly_succeeded"


def test_an_output_folder_that_cannot_be_written_to(standing: Farm, make_run: RunMaker) -> None:
    event = make_run(uuid.uuid4().hex)
    Path(event.data.output_dir).mkdir(parents=True, mode=0o555)
    assert code_of(outcome(standing, event)) == "destination_unwritable"


def test_an_output_folder_outside_the_roots(standing: Farm, make_run: RunMaker, base: Path) -> None:
    event = make_run(uuid.uuid4().hex, out=str(base / "elsewhere"))
    assert code_of(outcome(standing, event)) == "path_forbidden"
    assert not (base / "elsewhere").exists()


def test_a_folder_where_the_package_should_be(standing: Farm, make_run: RunMaker) -> None:
    event = make_run(uuid.uuid4().hex)
    (Path(event.data.output_dir) / "OutputModels.zip").mkdir(parents=True)
    assert code_of(outcome(standing, event)) == "destination_unwritable"


def test_a_full_disk_fails_the_package_and_leaves_nothing_behind(farm: Farm, tmp_path: Path, data: Path) -> None:
    make_run = RunMaker(tmp_path, data)
    disk = SmallDisk(tmp_path / "small", 64 << 10)
    if reason := disk.why_not():
        pytest.skip(reason)
    farm.prefix = disk.enter
    (worker,) = farm.start()
    event = make_run(out=str(disk.folder / "a"))
    farm.publish(event)
    result = farm.wait_final(event).data.packages[0]
    assert code_of(result) == "disk_full"
    assert list((disk.seen_by(worker) / "a").iterdir()) == []


def test_nothing_to_package_names_every_node_with_its_reason(standing: Farm, make_run: RunMaker) -> None:
    event = make_run(uuid.uuid4().hex, candidates=0)
    standing.publish(event)
    done = standing.wait_final(event).data
    assert (done.state, done.packages) == ("nothing_to_package", [])
    assert [(left.model_id, left.reason) for left in done.left_out] == [("input", "input_model")]


def test_a_run_that_asks_for_no_package_succeeds(standing: Farm, make_run: RunMaker) -> None:
    event = make_run(uuid.uuid4().hex, packages=[])
    standing.publish(event)
    assert standing.wait_final(event).data.state == "succeeded"
