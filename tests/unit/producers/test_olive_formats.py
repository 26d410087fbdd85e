from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from packhouse.producers.olive import read_output_dir
from packhouse.schemas import ErrorCode, FinishedRun, PackhouseError
from packhouse.schemas.selection import candidates

CPU, CUDA, OPENVINO = "CPUExecutionProvider", "CUDAExecutionProvider", "OpenVINOExecutionProvider"


def chosen(run: FinishedRun) -> dict[str, list[str]]:
    return {str(each.accelerator): [node.model_id for node in candidates(each)] for each in run.footprints}


def refused(folder: Path, **options: Any) -> PackhouseError:
    with pytest.raises(PackhouseError) as caught:
        read_output_dir(folder, **options)
    return caught.value


def test_0_6_without_search_and_without_saved_models_puts_out_the_ends_of_the_lineage(
    tmp_path: Path, node, write_json
) -> None:
    nodes = [node("in"), node("a", "in", path="/c/a.onnx"), node("b", "a", path="/c/b.onnx", accuracy=0.9)]
    write_json(tmp_path / "gpu-cuda_footprints.json", nodes)
    assert chosen(read_output_dir(tmp_path)) == {"gpu-cuda": ["b"]}


def saved(each: dict[str, Any], path: str) -> dict[str, Any]:
    config = {**each["model_config"]["config"], "model_path": path}
    return {"type": "ONNXModel", "config": config}


def test_0_6_without_search_puts_out_what_it_saved_for_each_flow_and_named_pass(
    tmp_path: Path, node, write_json
) -> None:
    first = node("a", "in", path="/c/a.onnx", accuracy=0.8)
    last = node("b", "a", path="/c/b.onnx", accuracy=0.9, provider=CPU)
    other = node("d", "in", path="/c/d.onnx", accuracy=0.7)
    write_json(tmp_path / "best_cpu-cpu_footprints.json", [node("in"), first, last, other])
    flow = tmp_path / "quantize-tune"
    write_json(flow / "quantized_cpu-cpu_model.json", saved(first, "/out/quantized.onnx"))
    write_json(flow / "quantized_cpu-cpu_metrics.json", first["metrics"]["value"])
    write_json(flow / "best_cpu-cpu_model.json", saved(last, "/out/best.onnx"))
    write_json(flow / "best_cpu-cpu_metrics.json", last["metrics"]["value"])
    assert chosen(read_output_dir(tmp_path)) == {"cpu-cpu": ["a", "b"]}


def test_saved_models_that_cannot_be_told_apart_mark_nothing(tmp_path: Path, node, write_json) -> None:
    twins = [node(name, "in", path=f"/c/{name}.onnx") for name in "ab"]
    write_json(tmp_path / "cpu-cpu_footprints.json", [node("in"), *twins])
    write_json(tmp_path / "flow" / "cpu-cpu_model.json", saved(twins[0], "/out/a.onnx"))
    assert chosen(read_output_dir(tmp_path)) == {"cpu-cpu": ["a", "b"]}
    assert not any(each.is_output for each in read_output_dir(tmp_path).footprints[0].nodes)


def test_0_13_without_search_writes_all_nodes_as_outputs_and_only_the_last_one_is(
    tmp_path: Path, node, write_json
) -> None:
    key = "model_config_data"
    nodes = [node("in"), node("a", "in", path="/c/a", key=key), node("b", "a", path="/c/b", key=key, provider=CPU)]
    write_json(tmp_path / "footprint.json", nodes)
    write_json(tmp_path / "output_footprint.json", nodes)
    assert chosen(read_output_dir(tmp_path)) == {"cpu-cpu": ["b"]}


def test_0_9_has_a_folder_for_each_accelerator_and_its_outputs_in_a_file(tmp_path: Path, node, write_json) -> None:
    for name, end in (("gpu-cuda", 10), ("cpu-cpu", 20)):
        nodes = [node("in"), node("a", "in", path="/c/a", end=end), node("b", "a", path="/c/b", end=end)]
        write_json(tmp_path / name / "footprints.json", nodes)
        write_json(tmp_path / name / "output_footprints.json", [nodes[1]])
    assert chosen(read_output_dir(tmp_path)) == {"gpu-cuda": ["a"], "cpu-cpu": ["a"]}


def test_accelerators_come_in_the_order_in_which_olive_ended_them(tmp_path: Path, node, write_json) -> None:
    for name, end in (("cpu-cpu", 30), ("cpu-openvino", 10), ("gpu-cuda", 20)):
        write_json(tmp_path / f"{name}_footprints.json", [node("in"), node("a", "in", path="/c/a", end=end)])
    found = [str(each.accelerator) for each in read_output_dir(tmp_path).footprints]
    assert found == ["cpu-openvino", "gpu-cuda", "cpu-cpu"]


def test_where_the_frontier_was_cut_short_only_what_is_in_its_file_is_put_out(tmp_path: Path, node, write_json) -> None:
    best, second = (node(name, "in", path=f"/c/{name}", frontier=True) for name in "ab")
    write_json(tmp_path / "cpu-cpu_footprints.json", [node("in"), best, second])
    write_json(tmp_path / "cpu-cpu_pareto_frontier_footprints.json", [best])
    assert chosen(read_output_dir(tmp_path)) == {"cpu-cpu": ["a"]}


def test_output_names_in_one_folder_are_joined_per_accelerator(tmp_path: Path, node, write_json) -> None:
    for name in ("one", "two"):
        made = node(f"{name}-model", "in", path=f"/c/{name}", frontier=True)
        write_json(tmp_path / f"{name}_cpu_spr-cpu_footprints.json", [node("in", accuracy=0.5), made])
        write_json(tmp_path / f"{name}_cpu_spr-cpu_pareto_frontier_footprints.json", [made])
    assert chosen(read_output_dir(tmp_path)) == {"cpu_spr-cpu": ["one-model", "two-model"]}
    assert chosen(read_output_dir(tmp_path, output_name="two")) == {"cpu_spr-cpu": ["two-model"]}


def test_output_names_that_measured_one_model_differently_have_to_be_chosen_from(
    tmp_path: Path, node, write_json
) -> None:
    for name, accuracy in (("one", 0.5), ("two", 0.6)):
        nodes = [node("in"), node("a", "in", path="/c/a", accuracy=accuracy)]
        write_json(tmp_path / f"{name}_cpu-cpu_footprints.json", nodes)
    assert refused(tmp_path).code is ErrorCode.OUTPUT_INVALID
    assert chosen(read_output_dir(tmp_path, output_name="two")) == {"cpu-cpu": ["a"]}
    assert refused(tmp_path, output_name="three").code is ErrorCode.OUTPUT_NOT_FOUND


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_json_does_not_know_is_read(tmp_path: Path, node, write_json, value: float) -> None:
    write_json(tmp_path / "cpu-cpu_footprints.json", [node("in"), node("a", "in", path="/c/a", accuracy=value)])
    (metric,) = read_output_dir(tmp_path).footprints[0].nodes[1].measured.values()
    assert str(metric.value) == str(value)


def test_a_pruned_node_is_kept_and_never_a_candidate(tmp_path: Path, node, write_json) -> None:
    pruned = {**node("a", "in"), "model_config": {"is_pruned": True}}
    write_json(tmp_path / "cpu-cpu_footprints.json", [node("in"), pruned, node("b", "in", path="/c/b")])
    run = read_output_dir(tmp_path)
    assert [each.model_id for each in run.footprints[0].nodes] == ["in", "a", "b"]
    assert chosen(run) == {"cpu-cpu": ["b"]}


@pytest.mark.parametrize(
    ("provider", "options", "device", "accelerator"),
    [
        (CUDA, None, None, "gpu-cuda"),
        (CPU, None, "gpu", "gpu-cpu"),
        (OPENVINO, None, "cpu", "cpu-openvino"),
        (OPENVINO, {"device_type": "NPU"}, None, "npu-openvino"),
        (OPENVINO, {"device_type": "GPU.0"}, None, "gpu-openvino"),
        ("QNNExecutionProvider", {"backend_path": "C:\\qnn\\QnnHtp.dll"}, None, "npu-qnn"),
        ("QNNExecutionProvider", {"backend_path": "libQnnGpu.so"}, None, "gpu-qnn"),
        ("VitisAIExecutionProvider", None, None, "npu-vitisai"),
    ],
)
def test_the_accelerator_is_what_provider_options_and_pass_say(
    tmp_path: Path, node, write_json, provider: str, options, device, accelerator: str
) -> None:
    made = node("a", "in", path="/c/a", provider=provider, options=options, device=device)
    write_json(tmp_path / "footprint.json", [node("in"), made])
    assert list(chosen(read_output_dir(tmp_path))) == [accelerator]


@pytest.mark.parametrize(
    "providers",
    [
        pytest.param([], id="no inference settings"),
        pytest.param([OPENVINO], id="a provider with several devices"),
        pytest.param([CPU, CUDA], id="nodes that disagree"),
        pytest.param(["HomemadeExecutionProvider"], id="a provider that nobody knows"),
    ],
)
def test_an_accelerator_is_never_guessed_but_may_be_given(tmp_path: Path, node, write_json, providers) -> None:
    made = [node(f"m{at}", "in", path="/c/m", provider=each) for at, each in enumerate(providers or [None])]
    write_json(tmp_path / "footprint.json", [node("in"), *made])
    error = refused(tmp_path)
    assert error.code is ErrorCode.ACCELERATOR_UNKNOWN
    assert "--accelerator DEVICE-EP" in error.fix
    assert list(chosen(read_output_dir(tmp_path, accelerator="npu-openvino"))) == ["npu-openvino"]


def test_an_accelerator_that_contradicts_the_files_is_refused(tmp_path: Path, node, write_json) -> None:
    write_json(tmp_path / "cpu-cpu_footprints.json", [node("in"), node("a", "in", path="/c/a")])
    assert refused(tmp_path, accelerator="gpu-cuda").code is ErrorCode.ACCELERATOR_UNKNOWN
    assert list(chosen(read_output_dir(tmp_path, accelerator="cpu-cpu"))) == ["cpu-cpu"]


def test_a_folder_that_is_not_there_or_holds_no_run_is_not_found(tmp_path: Path, node, write_json) -> None:
    assert refused(tmp_path / "missing").code is ErrorCode.OUTPUT_NOT_FOUND
    assert refused(tmp_path).code is ErrorCode.OUTPUT_NOT_FOUND
    file = write_json(tmp_path / "run" / "cpu-cpu_footprints.json", [node("in")])
    assert str(tmp_path / "run") in refused(tmp_path).fix
    assert str(tmp_path / "run") in refused(file).fix


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param('{"in": {"model_id": "in", "par', "footprint.json", id="half a file"),
        pytest.param("", "footprint.json", id="an empty file"),
        pytest.param("[" * 100_000, "footprint.json", id="brackets without end"),
        pytest.param("[]", "footprint.json", id="a list"),
        pytest.param('{"in": 3}', "in", id="a node that is a number"),
        pytest.param('{"in": {"model_config": "x"}}', "in.model_config", id="a model that is text"),
        pytest.param('{"in": {"model_config": {"type": "ONNXModel"}}}', "in.model_config.config", id="half a model"),
        pytest.param('{"in": {"metrics": {"value": {"a": 3}}}}', "in.metrics.value.a", id="a bare metric"),
        pytest.param(
            '{"in": {"metrics": {"value": {"a": {"value": "high", "priority": 1, "higher_is_better": true}}}}}',
            "in.metrics.value.a.value",
            id="a metric that is no number",
        ),
        pytest.param('{"in": {"start_time": "noon"}}', "in.start_time", id="a time that is none"),
    ],
)
def test_a_file_that_is_not_as_olive_writes_it_is_named_with_the_field(tmp_path: Path, text: str, names: str) -> None:
    (tmp_path / "footprint.json").write_text(text)
    error = refused(tmp_path, accelerator="cpu-cpu")
    assert error.code is ErrorCode.OUTPUT_INVALID
    assert str(tmp_path / "footprint.json") in error.message
    assert names in error.message


def test_a_frontier_without_the_footprints_written_after_it_is_a_run_that_has_not_ended(
    tmp_path: Path, node, write_json
) -> None:
    write_json(tmp_path / "cpu-cpu_pareto_frontier_footprints.json", [node("a", "in", path="/c/a", frontier=True)])
    error = refused(tmp_path)
    assert error.code is ErrorCode.OUTPUT_INVALID
    assert "(yet)" in error.message


def test_lineage_that_points_nowhere_or_loops_is_refused(tmp_path: Path, node, write_json) -> None:
    write_json(tmp_path / "cpu-cpu_footprints.json", [node("a", "gone", path="/c/a")])
    assert "'gone'" in refused(tmp_path).message
    write_json(tmp_path / "cpu-cpu_footprints.json", [node("a", "b", path="/c/a"), node("b", "a", path="/c/b")])
    assert "loops" in refused(tmp_path).message
