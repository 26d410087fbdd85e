from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from packhouse.producers.olive import from_footprints, from_workflow_output, read_output_dir
from packhouse.schemas import ErrorCode, PackhouseError

OLD, NEW = "olive-0.6.2-cpu-and-openvino", "olive-0.13.0-search"


class Device(Enum):
    """As Olive's: text is the value."""

    CPU = "cpu"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Spec:
    """As Olive's ``AcceleratorSpec``."""

    accelerator_type: Any
    execution_provider: str | None

    def __str__(self) -> str:
        return f"{self.accelerator_type}-{(self.execution_provider or '')[:-17].lower()}"


@dataclass
class LiveFootprint:
    """As Olive's ``Footprint``, whose JSON is that of its files."""

    raw: dict[str, Any]
    output_model_ids: list[str] = field(default_factory=list[str])

    def to_json(self) -> str:
        return json.dumps(self.raw)


@dataclass
class Model:
    """As Olive's ``ModelOutput``."""

    model_id: str
    olive_model_config: dict[str, Any]
    provider: str = "CPUExecutionProvider"

    def from_device(self) -> str:
        return "cpu"

    def from_execution_provider(self) -> str:
        return self.provider


@dataclass
class Output13:
    """As ``WorkflowOutput`` since 0.10."""

    accelerator_spec: Spec
    footprint: LiveFootprint
    output_models: list[Model]


class Output9:
    """As ``WorkflowOutput`` of 0.9: attributes that it does not have are None."""

    def __init__(self, models: list[Model]) -> None:
        self._models = models

    def get_output_models(self) -> list[Model]:
        return self._models

    def __getattr__(self, name: str) -> None:
        return None


def raw_of(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def new_output(data: Path, spec: Spec) -> Output13:
    raw = raw_of(data / NEW / "output_dir/footprint.json")
    ids = [model_id for model_id, node in raw.items() if node["is_pareto_frontier"]]
    models = [Model(model_id, raw[model_id]["model_config_data"]) for model_id in ids]
    return Output13(spec, LiveFootprint(raw, ids), models)


CPU = Spec(Device.CPU, "CPUExecutionProvider")


def test_a_workflow_output_is_the_run_that_its_files_are(data: Path) -> None:
    folder = data / NEW / "output_dir"
    assert from_workflow_output(new_output(data, CPU), output_dir=folder) == read_output_dir(folder)


def test_without_a_provider_the_accelerator_is_told_from_the_nodes(data: Path) -> None:
    folder = data / NEW / "output_dir"
    run = from_workflow_output(new_output(data, Spec(Device.CPU, None)), output_dir=folder)
    assert str(run.footprints[0].accelerator) == "cpu-cpu"


def test_the_copy_that_olive_saved_of_its_best_model_takes_the_place_of_the_one_in_the_cache(data: Path) -> None:
    output = new_output(data, CPU)
    best = output.output_models[0]
    config = {**best.olive_model_config["config"], "model_path": "/srv/olive/output_dir/model.onnx"}
    output.output_models[0] = Model(best.model_id, {"type": "onnxmodel", "config": config})
    run = from_workflow_output(output, output_dir=data / NEW / "output_dir")
    (model,) = (node.model for node in run.footprints[0].nodes if node.model_id == best.model_id)
    assert model
    assert model.model_path == "/srv/olive/output_dir/model.onnx"


def test_an_accelerator_that_is_not_known_is_refused(data: Path) -> None:
    with pytest.raises(PackhouseError) as caught:
        from_workflow_output(new_output(data, Spec("any", "CPUExecutionProvider")), output_dir=data)
    assert caught.value.code is ErrorCode.ACCELERATOR_UNKNOWN


def test_the_outputs_of_0_9_are_completed_from_the_files(data: Path) -> None:
    folder = data / OLD / "output_dir"
    read = read_output_dir(folder)
    models = [
        Model(node.model_id, {}, each.accelerator.execution_provider)
        for each in read.footprints
        for node in each.nodes
        if node.is_output
    ]
    assert from_workflow_output(Output9(models), output_dir=folder) == read


def old_footprints(data: Path, kind: str) -> dict[Spec, LiveFootprint]:
    folder = data / OLD / "output_dir"
    return {
        Spec("cpu", f"{name}ExecutionProvider"): LiveFootprint(
            raw_of(folder / f"digits_cpu-{name.lower()}{kind}_footprints.json")
        )
        for name in ("CPU", "OpenVINO")
    }


@pytest.mark.parametrize("kind", ["", "_pareto_frontier"])
def test_footprints_whole_or_of_the_frontier_are_the_run_that_its_files_are(data: Path, kind: str) -> None:
    folder = data / OLD / "output_dir"
    assert from_footprints(old_footprints(data, kind), output_dir=folder) == read_output_dir(folder)


def test_a_frontier_whose_lineage_is_nowhere_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(PackhouseError) as caught:
        from_footprints(old_footprints(data, "_pareto_frontier"), output_dir=tmp_path)
    assert caught.value.code is ErrorCode.OUTPUT_NOT_FOUND
