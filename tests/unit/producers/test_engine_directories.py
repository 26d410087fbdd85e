from __future__ import annotations

from pathlib import Path
from typing import Any

from packhouse.producers.olive.directories import engine_directories, parent
from packhouse.schemas import FinishedRun
from packhouse.schemas.paths import components


def directories(
    config: dict[str, Any], *, output_dir: str = "/home/ann/out", path: str = "/home/ann/m.onnx"
) -> list[str]:
    nodes = [
        {"model_id": "in"},
        {
            "model_id": "a",
            "parent_model_id": "in",
            "pass_run_config": config,
            "model": {"type": "ONNXModel", "config": {"model_path": path}},
        },
    ]
    data = {
        "engine": {"name": "olive"},
        "output_dir": output_dir,
        "footprints": [{"accelerator": "cpu-cpu", "nodes": nodes}],
    }
    return engine_directories(FinishedRun.model_validate(data))


def test_of_directories_in_each_other_the_outermost_is_kept() -> None:
    assert directories({"data_dir": "/home/ann/data/digits"}) == ["/home/ann"]


def test_directories_that_lie_side_by_side_give_the_one_that_they_share() -> None:
    assert directories({}, output_dir="/srv/olive/out", path="/srv/olive/cache/x/m.onnx") == ["/srv/olive"]


def test_a_directory_of_one_component_is_nobodys_own() -> None:
    assert directories({}, output_dir="/srv/a", path="/srv/b/m.onnx") == ["/srv/a", "/srv/b"]


def test_paths_under_keys_that_are_made_for_paths_count_at_any_depth() -> None:
    config = {
        "user_script": "/opt/scripts/user.py",
        "data_config": {"params": {"train_file": "/nas/digits/train.csv"}, "cache_dir": "/scratch/one/cache"},
        "weights": [{"adapter_path": "/models/adapters/a.bin"}],
    }
    found = directories(config)
    assert {"/opt/scripts", "/nas/digits", "/scratch/one/cache", "/models/adapters"} <= set(found)


def test_names_of_nodes_in_a_graph_are_no_directories() -> None:
    config = {"nodes_to_exclude": ["/MatMul", "/model/layers.0/Add"], "op_types": "/Conv"}
    assert directories(config) == ["/home/ann"]


def test_other_absolute_text_counts_where_it_exists_on_this_machine(tmp_path: Path) -> None:
    file = tmp_path / "inner" / "digits.csv"
    file.parent.mkdir()
    file.touch()
    found = directories({"note": str(file), "other": str(tmp_path / "gone" / "x.csv")})
    assert str(file.parent) in found
    assert not any(str(tmp_path / "gone").startswith(each) for each in found)


def test_windows_paths_count_by_their_own_rules() -> None:
    found = directories({"script_dir": "D:\\work\\scripts"}, output_dir="C:\\olive\\out", path="c:/olive/cache/m.onnx")
    assert [components(each) for each in found] == [("d:", "work", "scripts"), ("c:", "olive")]
    assert parent("\\\\host\\share\\m.onnx") == "\\\\host\\share"


def test_addresses_of_blobs_are_no_directories() -> None:
    assert directories({}, path="https://store.example/box/m.onnx") == ["/home/ann/out"]
