from __future__ import annotations

from typing import Any

from packhouse.schemas.events import FinishedRun
from packhouse.schemas.paths import PathMap
from packhouse.worker.package.directories import engine_directories


def run(
    *, output_dir: str, configs: list[dict[str, Any]], declared: list[str] | None = None, paths: str = "engine"
) -> FinishedRun:
    nodes = [{"model_id": "input"}] + [
        {
            "model_id": f"m{at}",
            "parent_model_id": "input",
            "from_pass": "Quantization",
            "pass_run_config": config,
            "model": {"type": "ONNXModel", "config": {"model_path": config.get("model_path")}},
        }
        for at, config in enumerate(configs)
    ]
    return FinishedRun.model_validate(
        {
            "engine": {"name": "olive", "directories": declared or []},
            "paths": paths,
            "output_dir": output_dir,
            "footprints": [{"accelerator": "cpu-cpu", "nodes": nodes}],
        }
    )


def test_directories_side_by_side_are_known_by_what_they_share() -> None:
    event = run(
        output_dir="/srv/olive/out",
        configs=[{"model_path": f"/srv/olive/cache/{at}/m.onnx", "user_script": "/srv/olive/s.py"} for at in range(3)],
    )
    assert engine_directories(event, PathMap()) == ("/srv/olive", "/srv/olive/out")


def test_what_lies_elsewhere_is_known_by_itself() -> None:
    event = run(
        output_dir="/out",
        configs=[
            {"model_path": "/mnt/hub/blobs/x", "data_config": [{"script_dir": "/home/me/scripts", "data_dir": "here"}]},
            {"model_path": "C:\\Olive\\cache\\m.onnx"},
            {"model_path": "C:\\Olive\\other\\m.onnx"},
            {"model_path": "/m.onnx"},
        ],
    )
    expected = {"/out", "/mnt/hub/blobs", "/home/me/scripts", "C:\\Olive"}
    assert set(engine_directories(event, PathMap())) == expected


def test_directories_are_known_in_both_views() -> None:
    mapping = PathMap.parse(["/srv/olive=/mnt/farm/olive"])
    configs = [{"model_path": "/srv/olive/cache/m.onnx"}]
    event = run(output_dir="/srv/olive/out", configs=configs, declared=["/srv/olive/x"])
    expected = {"/srv/olive", "/srv/olive/out", "/srv/olive/x"}
    expected |= {path.replace("/srv/", "/mnt/farm/") for path in expected}
    assert set(engine_directories(event, mapping)) == expected
    as_worker = run(
        output_dir="/mnt/farm/olive/out", configs=[{"model_path": "/mnt/farm/olive/cache/m.onnx"}], paths="worker"
    )
    assert set(engine_directories(as_worker, mapping)) == expected - {"/srv/olive/x", "/mnt/farm/olive/x"}
