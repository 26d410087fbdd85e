"""Models tried before they are packaged, by a real job, each in a process of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import psutil
import pytest
from onnx import TensorProto, helper
from support.endless import save_endless

from packhouse.schemas.accelerator import Accelerator
from packhouse.schemas.checks import CheckState, ModelCheck, Verdict
from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.files import InferenceConfig
from packhouse.schemas.footprint import ModelConfig
from packhouse.worker.ledger import Lease, LeaseLost, Ledger, Notebook, connect
from packhouse.worker.models.checking import Checked, check, must_pass
from packhouse.worker.models.parts import ModelSource, OnnxMain, SourceFile, SourceKind
from packhouse.worker.models.scratch import Laid
from packhouse.worker.models.source import find
from packhouse.worker.models.trial import Outcome, Trial, tried
from packhouse.worker.packagers.base import PackageJob
from packhouse.worker.settings import Settings

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
ON_CPU = InferenceConfig(execution_provider=[(CPU, {})], session_options={})
Model = Callable[..., Path]


class Checking:
    """Jobs of one run, and a scratch folder to look into."""

    def __init__(self, farm: Any, ledger: Ledger, scratch: Path, settings: dict[str, Any]) -> None:
        self.farm = farm
        self.ledger = ledger
        self.scratch = scratch
        self.settings = settings

    def job(self, number: int = 0, **settings: Any) -> PackageJob:
        wanted: dict[str, Any] = self.settings | {"check_models": "run", "scratch": str(self.scratch)} | settings
        given = Settings(**wanted)
        notebook = Notebook(self.ledger, given, Lease("run", str(number), "a1", 1, 0, 0.0, None))
        return dataclasses.replace(self.farm.job(self.farm.made_up()), settings=given, notebook=notebook)

    def source(self, path: Path, **config: Any) -> ModelSource:
        model = ModelConfig(type="ONNXModel", config={"model_path": self.farm.engine_path(path), **config})
        job = self.job()
        return find(model, job.locate, job.storage)

    def __call__(self, path: Path, inference: InferenceConfig = ON_CPU, **settings: Any) -> Checked:
        checked = check(self.job(**settings), self.source(path), inference)
        assert not list(self.scratch.glob("*")), "the scratch folder is left empty"
        return checked


@pytest.fixture
def checking_of(farm: Any, redis_url: str, namespace: str, tmp_path: Path) -> Iterator[Checking]:
    settings: dict[str, Any] = {"redis_url": redis_url, "namespace": namespace}
    redis = connect(redis_url, patient=False)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    yield Checking(farm, Ledger(redis, Settings(**settings)), scratch, settings)
    redis.close()


@pytest.fixture
def storage(farm: Any) -> Path:
    return farm.root


def saved(path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], **more: Any) -> Path:
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own.domain", 1)]
    graph = helper.make_graph(nodes, "g", inputs, outputs, **more)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save_model(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


def value(name: str, shape: list[Any] | None, element: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, element, shape)


def session(**options: Any) -> InferenceConfig:
    return InferenceConfig(execution_provider=[(CPU, {})], session_options=options)


@pytest.mark.parametrize("external", [None, "w.bin", "weights/deep/w.bin"])
def test_a_model_that_loads_and_runs_passes_and_its_shapes_are_told(
    checking_of: Checking, storage: Path, model: Model, external: str | None
) -> None:
    checked = checking_of(model(storage / "m" / "some.onnx", external=external))
    assert checked.verdict == Verdict(state=CheckState.PASSED, execution_provider=CPU, ran=True)
    assert checked.shapes == {"x": (1, 64)}
    assert checked.warnings == ()


def test_a_model_in_a_folder_is_tried_with_the_name_that_it_has_in_the_package(
    checking_of: Checking, storage: Path, model: Model
) -> None:
    model(storage / "m" / "onnx" / "some.onnx", external="w.bin")
    source = checking_of.source(storage / "m", onnx_file_name="onnx/some.onnx")
    assert source.main == "onnx/model.onnx"
    assert check(checking_of.job(), source, ON_CPU).verdict.state is CheckState.PASSED


def test_nothing_becomes_of_the_files_that_are_tried(checking_of: Checking, storage: Path, model: Model) -> None:
    path = model(storage / "m" / "m.onnx", external="w.bin")
    before = [file.stat() for file in sorted(path.parent.iterdir())]
    path.parent.chmod(0o555)
    assert checking_of(path).verdict.state is CheckState.PASSED
    after = [file.stat() for file in sorted(path.parent.iterdir())]
    kept = [[stat.st_ino, stat.st_nlink, stat.st_mtime_ns, stat.st_ctime_ns] for stat in before]
    assert [[stat.st_ino, stat.st_nlink, stat.st_mtime_ns, stat.st_ctime_ns] for stat in after] == kept


def test_asked_only_to_load_it_is_not_run(checking_of: Checking, storage: Path, model: Model) -> None:
    checked = checking_of(model(storage / "m.onnx"), check_models="load")
    assert checked.verdict == Verdict(state=CheckState.PASSED, execution_provider=CPU, ran=False)
    assert checked.shapes == {}


def test_the_setting_switches_it_off(checking_of: Checking, storage: Path, model: Model) -> None:
    verdict = checking_of(model(storage / "m.onnx"), check_models="off").verdict
    assert verdict.state is CheckState.NOT_CHECKED
    assert "switch" in (verdict.reason or "")


def test_a_model_that_does_not_load_fails_and_the_package_with_it(checking_of: Checking, storage: Path) -> None:
    node = helper.make_node("NoSuchOperator", ["x"], ["y"], domain="own.domain")
    path = saved(storage / "m.onnx", [node], [value("x", [1])], [value("y", [1])])
    checked = checking_of(path)
    assert checked.verdict.state is CheckState.FAILED
    assert "NoSuchOperator" in (checked.verdict.reason or "")
    assert str(storage) not in (checked.verdict.reason or "")
    assert str(checking_of.scratch) not in (checked.verdict.reason or "")
    one = ModelCheck(
        rank=3,
        accelerator=Accelerator.parse("cpu-cpu"),
        rank_in_accelerator=2,
        model_id="m7",
        verdict=checked.verdict,
    )
    with pytest.raises(PermanentError) as caught:
        must_pass([one], Settings())
    assert caught.value.code is ErrorCode.MODEL_CHECK_FAILED
    assert "Candidate 2 of cpu-cpu (m7)" in caught.value.message
    assert "NoSuchOperator" in caught.value.message
    must_pass([one], Settings(check_fails=()))


def test_which_verdicts_fail_a_package_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = Verdict(state=CheckState.INCONCLUSIVE, reason="It may be.")
    one = ModelCheck(
        rank=1, accelerator=Accelerator.parse("cpu-cpu"), rank_in_accelerator=1, model_id="m", verdict=verdict
    )
    must_pass([one], Settings())
    monkeypatch.setenv("PACKHOUSE_CHECK_FAILS", "failed; inconclusive")
    with pytest.raises(PermanentError, match="It may be"):
        must_pass([one], Settings())


def test_without_the_execution_provider_it_is_tried_on_the_cpu_and_the_verdict_says_so(
    checking_of: Checking, storage: Path, model: Model
) -> None:
    on_cuda = InferenceConfig(execution_provider=[(CUDA, {"device_id": 0}), (CPU, {})], session_options={})
    checked = checking_of(model(storage / "m.onnx"), on_cuda)
    assert checked.verdict.state is CheckState.INCONCLUSIVE
    assert CUDA in (checked.verdict.reason or "")
    assert "loads and runs" in (checked.verdict.reason or "")
    assert checked.verdict.execution_provider == CPU
    assert checked.shapes == {"x": (1, 64)}


def test_what_does_not_load_on_the_cpu_has_not_failed_where_it_is_meant_for_another(
    checking_of: Checking, storage: Path
) -> None:
    node = helper.make_node("NoSuchOperator", ["x"], ["y"], domain="own.domain")
    path = saved(storage / "m.onnx", [node], [value("x", [1])], [value("y", [1])])
    on_cuda = InferenceConfig(execution_provider=[(CUDA, {})], session_options={})
    verdict = checking_of(path, on_cuda).verdict
    assert verdict.state is CheckState.INCONCLUSIVE
    assert CUDA in (verdict.reason or "")


def test_a_model_compiled_for_a_provider_that_is_not_here_is_not_tried(
    checking_of: Checking, storage: Path, model: Model
) -> None:
    source = checking_of.source(model(storage / "m.onnx"))
    compiled = dataclasses.replace(source, onnx_models=(OnnxMain("model.onnx", ep_contexts=("QNN",)),))
    verdict = check(checking_of.job(), compiled, ON_CPU).verdict
    assert verdict.state is CheckState.NOT_CHECKED
    assert "QNNExecutionProvider" in (verdict.reason or "")


def test_what_is_no_onnx_model_is_not_tried(checking_of: Checking, storage: Path) -> None:
    (storage / "m.pt").write_bytes(b"weights")
    model = ModelConfig(type="PyTorchModel", config={"model_path": checking_of.farm.engine_path(storage / "m.pt")})
    job = checking_of.job()
    assert check(job, find(model, job.locate, job.storage), ON_CPU).verdict.state is CheckState.NOT_CHECKED


def test_a_model_for_a_newer_onnx_runtime_has_not_failed(checking_of: Checking, storage: Path, model: Model) -> None:
    path = model(storage / "m.onnx")
    newer = onnx.load(path)
    newer.ir_version = 99
    path.write_bytes(newer.SerializeToString())
    verdict = checking_of(path).verdict
    assert verdict.state is CheckState.INCONCLUSIVE
    assert "newer ONNX Runtime" in (verdict.reason or "")


def test_sizes_are_tried_until_one_runs(checking_of: Checking, storage: Path) -> None:
    weight = helper.make_tensor("w", TensorProto.FLOAT, [512, 2], np.zeros(1024))
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    path = saved(storage / "m.onnx", [node], [value("x", [None, None])], [value("y", None)], initializer=[weight])
    assert checking_of(path).shapes == {"x": (1, 512)}


def test_where_no_generated_input_runs_the_model_has_not_failed(checking_of: Checking, storage: Path) -> None:
    weight = helper.make_tensor("w", TensorProto.FLOAT, [1009, 2], np.zeros(2018))
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    path = saved(storage / "m.onnx", [node], [value("x", [None, None])], [value("y", None)], initializer=[weight])
    checked = checking_of(path)
    assert checked.verdict.state is CheckState.INCONCLUSIVE
    assert "It loads" in (checked.verdict.reason or "")
    assert checked.shapes == {}


def test_an_input_that_cannot_be_generated_is_told(checking_of: Checking, storage: Path) -> None:
    sequence = helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, [1])
    node = helper.make_node("SequenceLength", ["x"], ["y"])
    path = saved(storage / "m.onnx", [node], [sequence], [value("y", [], TensorProto.INT64)])
    assert "seq(tensor(float))" in (checking_of(path).verdict.reason or "")


def test_settings_that_write_files_or_load_libraries_do_neither_and_are_named(
    checking_of: Checking, storage: Path, model: Model, tmp_path: Path
) -> None:
    written = tmp_path / "written"
    inference = InferenceConfig(
        execution_provider=[(CPU, {"shared_lib_path": str(written), "use_arena": "1"}), ("y" * 1_000_000, {})],
        session_options={
            "optimized_model_filepath": str(written),
            "enable_profiling": True,
            "profile_file_prefix": str(written),
            "custom_op_library": str(written),
            "graph_optimization_level": 1,
            "extra_session_config": {
                "session.optimized_model_external_initializers_file_name": str(written),
                "session.collect_node_memory_stats_to_file": str(written),
                "session.set_denormal_as_zero": "1",
            },
        },
    )
    checked = checking_of(model(storage / "m.onnx"), inference)
    assert checked.verdict.state is CheckState.PASSED
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scratch", "storage"]
    told = " ".join(checked.warnings)
    for name in ("optimized_model_filepath", "profile_file_prefix", "custom_op_library", "shared_lib_path"):
        assert name in told
    assert len(told) < 2000


def test_where_a_setting_was_left_out_not_loading_is_no_failure(checking_of: Checking, storage: Path) -> None:
    node = helper.make_node("NoSuchOperator", ["x"], ["y"], domain="own.domain")
    path = saved(storage / "m.onnx", [node], [value("x", [1])], [value("y", [1])])
    verdict = checking_of(path, session(custom_op_library="ops.so")).verdict
    assert verdict.state is CheckState.INCONCLUSIVE
    assert "custom_op_library" in (verdict.reason or "")


def test_a_model_that_wants_all_memory_gets_none_and_has_not_failed(checking_of: Checking, storage: Path) -> None:
    shape = helper.make_tensor("n", TensorProto.INT64, [1], [1 << 40])
    nodes = [helper.make_node("ConstantOfShape", ["n"], ["big"]), helper.make_node("Add", ["big", "x"], ["y"])]
    path = saved(storage / "m.onnx", nodes, [value("x", [1])], [value("y", None)], initializer=[shape])
    assert checking_of(path).verdict.state is CheckState.INCONCLUSIVE


def test_a_model_that_wants_more_than_a_trial_gets_is_told_so(checking_of: Checking, storage: Path) -> None:
    shape = helper.make_tensor("n", TensorProto.INT64, [1], [1 << 28])
    nodes = [helper.make_node("ConstantOfShape", ["n"], ["big"]), helper.make_node("Add", ["big", "x"], ["y"])]
    path = saved(storage / "m.onnx", nodes, [value("x", [1])], [value("y", None)], initializer=[shape])
    verdict = checking_of(path, check_memory_bytes=256 << 20).verdict
    assert verdict.state is CheckState.INCONCLUSIVE
    assert re.search("memory|alloc", verdict.reason or "")


def test_weights_are_mapped_and_not_copied(checking_of: Checking, storage: Path, tmp_path: Path) -> None:
    weight = onnx.TensorProto(name="w", data_type=1, dims=[4096, 1 << 17], data_location=TensorProto.EXTERNAL)
    entry = weight.external_data.add()
    entry.key, entry.value = "location", "w.bin"
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    path = saved(storage / "m.onnx", [node], [value("x", [1, 4096])], [value("y", None)], initializer=[weight])
    with (storage / "w.bin").open("wb") as sparse:
        sparse.truncate(2 << 30)
    seen: list[int] = []

    def look() -> None:
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.Error):
                memory = child.memory_full_info()
                seen.append(memory.uss - memory.shared if memory.uss > memory.shared else 0)

    checking_of.farm.progress.on_advance = look
    before = psutil.Process().memory_info().rss
    checked = checking_of(path, check_models="load", check_copy_bytes=0)
    assert checked.verdict.state is CheckState.PASSED
    assert psutil.Process().memory_info().rss - before < 64 << 20
    assert max(seen, default=0) < 512 << 20


def test_a_model_that_runs_for_ever_is_stopped(checking_of: Checking, storage: Path) -> None:
    verdict = checking_of(save_endless(storage / "m.onnx"), check_seconds=3).verdict
    assert verdict.state is CheckState.INCONCLUSIVE
    assert "It loads" in (verdict.reason or "")


def test_external_data_that_lie_elsewhere_are_copied_up_to_a_limit(
    checking_of: Checking, storage: Path, model: Model
) -> None:
    path = model(storage / "m" / "m.onnx", external="w.bin")
    elsewhere = storage / "elsewhere" / "blob"
    elsewhere.parent.mkdir()
    (path.parent / "w.bin").rename(elsewhere)
    (path.parent / "w.bin").symlink_to(elsewhere)
    assert checking_of(path).verdict.state is CheckState.PASSED
    verdict = checking_of(path, check_copy_bytes=1000).verdict
    assert verdict.state in (CheckState.NOT_CHECKED, CheckState.PASSED)  # passed where files can be cloned
    assert verdict.state is CheckState.PASSED or "copied" in (verdict.reason or "")


def test_external_data_in_a_cache_of_links_are_found(checking_of: Checking, storage: Path, model: Model) -> None:
    path = model(storage / "snapshot" / "m.onnx", external="w.bin")
    blobs = storage / "blobs"
    blobs.mkdir()
    for number, file in enumerate(sorted(path.parent.iterdir())):
        shutil.move(file, blobs / f"{number:064}")
        file.symlink_to(f"../blobs/{number:064}")
    assert checking_of(path, check_copy_bytes=0).verdict.state is CheckState.PASSED


def test_a_model_that_is_too_large_is_not_tried(checking_of: Checking, storage: Path, model: Model) -> None:
    verdict = checking_of(model(storage / "m.onnx", external="w.bin"), check_max_bytes=1000).verdict
    assert verdict.state is CheckState.NOT_CHECKED
    assert "1000" in (verdict.reason or "")


def test_without_a_scratch_folder_nothing_is_tried(checking_of: Checking, storage: Path, model: Model) -> None:
    path = model(storage / "m.onnx")
    verdict = check(checking_of.job(scratch="/proc/none"), checking_of.source(path), ON_CPU).verdict
    assert verdict.state is CheckState.NOT_CHECKED
    assert "scratch" in (verdict.reason or "")


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="a second file system")  # noqa: PTH112
def test_scratch_may_be_another_file_system_and_nothing_is_copied_there(
    checking_of: Checking, storage: Path, model: Model
) -> None:
    path = model(storage / "m.onnx", external="w.bin")
    checked = check(checking_of.job(scratch="/dev/shm", check_copy_bytes=0), checking_of.source(path), ON_CPU)
    assert checked.verdict.state is CheckState.PASSED


def test_a_model_that_was_written_to_since_it_was_found_is_told(
    checking_of: Checking, storage: Path, model: Model
) -> None:
    path = model(storage / "m.onnx")
    source = checking_of.source(path)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(PermanentError) as caught:
        check(checking_of.job(), source, ON_CPU)
    assert caught.value.code is ErrorCode.MODEL_CHANGED


def test_the_packages_of_a_run_try_a_model_once(
    checking_of: Checking, storage: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def counted(trial: Trial, laid: Laid, waiting: Callable[[], None]) -> Outcome:
        seen.append(trial.model.main)
        return tried(trial, laid, waiting)

    monkeypatch.setattr("packhouse.worker.models.checking.tried", counted)
    source = checking_of.source(model(storage / "m.onnx"))
    first = check(checking_of.job(0), source, ON_CPU)
    assert check(checking_of.job(1), source, ON_CPU) == first
    assert len(seen) == 1
    assert check(checking_of.job(2), source, session(graph_optimization_level=0)) == first
    assert check(checking_of.job(3, check_models="load"), source, ON_CPU).verdict.ran is False
    assert len(seen) == 3


def test_what_was_not_tried_here_is_left_to_the_runs_other_packages(
    checking_of: Checking, storage: Path, model: Model
) -> None:
    source = checking_of.source(model(storage / "m.onnx"))
    none = check(checking_of.job(0, scratch="/proc/none"), source, ON_CPU)
    assert none.verdict.state is CheckState.NOT_CHECKED
    assert check(checking_of.job(1), source, ON_CPU).verdict.state is CheckState.PASSED


def test_of_a_model_of_several_each_is_tried_and_the_worst_is_told(
    checking_of: Checking, storage: Path, model: Model
) -> None:
    node = helper.make_node("NoSuchOperator", ["x"], ["y"], domain="own.domain")
    bad = saved(storage / "b" / "b.onnx", [node], [value("x", [1])], [value("y", [1])])
    good = model(storage / "a" / "a.onnx")
    files = [checking_of.source(path).files[0] for path in (good, bad)]
    places = ("encoder/model.onnx", "decoder/model.onnx")
    laid = [SourceFile(at, each.location, each.size, each.mark) for at, each in zip(places, files, strict=True)]
    source = ModelSource(
        SourceKind.COMPOSITE,
        tuple(sorted(laid, key=lambda file: file.relative)),
        "",
        onnx_models=tuple(OnnxMain(place, place.partition("/")[0]) for place in places),
    )
    settings = {places[0]: ON_CPU, places[1]: ON_CPU}
    checked = check(checking_of.job(), source, settings)
    assert checked.verdict.state is CheckState.FAILED
    assert "decoder/model.onnx: It does not load" in (checked.verdict.reason or "")
    assert not checked.verdict.ran
    assert checked.by_model == {"encoder/model.onnx": {"x": (1, 64)}}


def test_initializers_and_inputs_beside_the_model_are_given_to_it(checking_of: Checking, storage: Path) -> None:
    folder = storage / "m"
    weight = helper.make_tensor("w", TensorProto.FLOAT, [3, 2], np.zeros(6))
    weight.ClearField("float_data")
    weight.data_location = TensorProto.EXTERNAL
    entry = weight.external_data.add()
    entry.key, entry.value = "location", "nowhere.bin"
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"])
    inputs = [value("x", [1, 3]), value("b", ["n"])]
    saved(folder / "m.onnx", [node], inputs, [value("y", [1, 2])], initializer=[weight])
    np.savez(folder / "weights.npz", w=np.ones((3, 2), dtype=np.float32))
    np.savez(folder / "constants.npz", b=np.ones(2, dtype=np.float32))
    files = tuple(
        SourceFile(name, place, (storage / "m" / here).stat().st_size, str((storage / "m" / here).stat().st_mtime_ns))
        for name, here in (("constants.npz", "constants.npz"), ("model.onnx", "m.onnx"), ("weights.npz", "weights.npz"))
        for place in [checking_of.job().locate(checking_of.farm.engine_path(storage / "m" / here))]
    )
    main = OnnxMain("model.onnx", external_initializers="weights.npz", constant_inputs="constants.npz")
    source = ModelSource(SourceKind.ONNX_FOLDER, files, "model.onnx", onnx_models=(main,))
    checked = check(checking_of.job(), source, ON_CPU)
    assert checked.verdict.state is CheckState.PASSED, checked.verdict
    assert checked.shapes == {"x": (1, 3)}


def test_losing_the_lease_ends_the_trial_at_once(checking_of: Checking, storage: Path, model: Model) -> None:
    before = psutil.Process().children()

    def lost() -> None:
        if psutil.Process().children() != before:
            raise LeaseLost

    checking_of.farm.progress.on_advance = lost
    source = checking_of.source(model(storage / "m.onnx"))
    with pytest.raises(LeaseLost):
        check(checking_of.job(), source, ON_CPU)
    assert psutil.Process().children() == before
    assert not list(checking_of.scratch.glob("*"))


def test_waiting_is_told_as_a_stage_of_its_own(checking_of: Checking, storage: Path, model: Model) -> None:
    checking_of(model(storage / "m.onnx"))
    assert ("checking", 0) in checking_of.farm.progress.stages
