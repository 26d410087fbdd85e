from __future__ import annotations

from pathlib import Path

import pytest

from packhouse.producers.olive import read_output_dir
from packhouse.schemas import FinishedRun, RunFinished
from packhouse.schemas.paths import PathMap

OLD, NEW = "olive-0.6.2-cpu-and-openvino", "olive-0.13.0-search"


def outputs(run: FinishedRun) -> dict[str, list[str]]:
    return {str(each.accelerator): [n.model_id for n in each.nodes if n.is_output] for each in run.footprints}


def test_a_search_for_two_accelerators_has_the_candidates_of_both_frontiers(data: Path) -> None:
    run = read_output_dir(data / OLD / "output_dir")
    assert outputs(run) == {
        "cpu-cpu": ["5_OrtPerfTuning-4-ddf5310f-cpu-cpu"],
        "cpu-openvino": ["14_OrtPerfTuning-0-d45d6ab7-cpu-openvino", "16_OrtPerfTuning-4-d45d6ab7-cpu-openvino"],
    }
    assert [len(each.nodes) for each in run.footprints] == [15, 15]


def test_a_candidate_has_its_whole_lineage(data: Path) -> None:
    run = read_output_dir(data / OLD / "output_dir")
    line = run.footprints[1].lineage("16_OrtPerfTuning-4-d45d6ab7-cpu-openvino")
    assert [node.from_pass for node in line] == [None, "OnnxDynamicQuantization", "OrtPerfTuning"]
    assert line[0].is_input
    assert line[2].model
    assert line[1].model
    assert line[2].model.model_path == line[1].model.model_path


def test_metrics_and_goals_are_those_of_the_file(data: Path) -> None:
    run = read_output_dir(data / OLD / "output_dir")
    (best,) = (node for node in run.footprints[0].nodes if node.is_output)
    assert best.goals_met is True
    assert {name: (m.priority, m.higher_is_better) for name, m in best.measured.items()} == {
        "accuracy-accuracy_score": (1, True),
        "latency-avg": (2, False),
        "latency-p90": (3, False),
        "latency-max": (-1, False),
    }
    assert best.measured["latency-avg"].value == 0.00889


def test_the_accelerator_that_0_13_does_not_write_down_is_read_off_the_inference_settings(data: Path) -> None:
    run = read_output_dir(data / NEW / "output_dir")
    assert outputs(run) == {"cpu-cpu": ["e4c9525a", "a5e84f6c", "df3e3dea", "7d4ae58a", "05ffebbf"]}
    assert len(run.footprints[0].nodes) == 39


@pytest.mark.parametrize("sample", [OLD, NEW])
def test_the_event_of_a_sample_survives_the_wire(data: Path, sample: str) -> None:
    event = RunFinished.of(read_output_dir(data / sample / "output_dir"), source="farm", run_id="1")
    assert RunFinished.model_validate_json(event.to_wire()).data == event.data


@pytest.mark.parametrize("sample", [OLD, NEW])
def test_without_a_mapping_paths_are_the_engines(data: Path, sample: str) -> None:
    run = read_output_dir(data / sample / "output_dir")
    assert run.paths == "engine"
    assert run.output_dir == str(data / sample / "output_dir")
    assert all(path.startswith("/srv/olive/") for path in model_paths(run))
    assert "/srv/olive" in run.engine.directories


@pytest.mark.parametrize("sample", [OLD, NEW])
def test_with_a_mapping_every_path_is_the_workers_and_both_views_are_known_as_the_engines(
    data: Path, sample: str
) -> None:
    run = read_output_dir(data / sample / "output_dir", mapping=PathMap.parse([f"/srv/olive={data / sample}"]))
    assert run.paths == "worker"
    assert all(Path(path).is_file() for path in model_paths(run))
    assert {"/srv/olive", str(data / sample)} <= set(run.engine.directories)


def test_reading_twice_gives_the_same_content(data: Path) -> None:
    first, second = (
        RunFinished.of(read_output_dir(data / OLD / "output_dir"), source="farm", run_id=str(at)) for at in range(2)
    )
    assert first.content_digest == second.content_digest


def model_paths(run: FinishedRun) -> list[str]:
    return [
        node.model.model_path
        for each in run.footprints
        for node in each.nodes
        if node.model is not None and node.model.model_path
    ]
