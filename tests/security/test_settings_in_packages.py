"""``packhouse verify`` and a worker's trial of a model whose settings would load a library or write files."""

from __future__ import annotations

import ctypes
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from support.gallery import Gallery, onnx_model
from support.models import save
from support.pouring import EngineStorage
from support.verifying import checks, edited, honest, packed, spread, unpacked

from packhouse.schemas import CompletedEvent

LIBRARY = Path(__file__).parents[1] / "support" / "owning.c"
Wanted = dict[str, Any]


def library(folder: Path, owned: Path) -> Path:
    """A shared library that makes the file when it is loaded."""
    made = folder / "ops.so"
    subprocess.run(["gcc", "-shared", "-fPIC", f'-DOWNED="{owned}"', "-o", made, LIBRARY], check=True)
    return made


def hostile(code: str, folder: Path) -> Wanted:
    """Settings of every kind that reach for a file or a library, each in the forms that engines write."""
    inside = {name: f"{folder}/{name}" for name in ("optimized", "profile", "context", "memory", "weights", "cache")}
    config = {
        "ep.context_enable": "1",
        "ep.context_file_path": inside["context"],
        "session.optimized_model_external_initializers_file_name": inside["weights"],
        "session.collect_node_memory_stats_to_file": inside["memory"],
        "session.model_external_initializers_file_folder_path": "/etc",
        "session.use_env_allocators": "1",
        "session.use_ort_model_bytes_directly": "1",
        "session.custom_ops_library": code,
    }
    paths = {"backend_path": code, "shared_lib_path": code, "cache_dir": inside["cache"], "load_config": code}
    return {
        "session_options": {
            "optimized_model_filepath": inside["optimized"],
            "enable_profiling": True,
            "profile_file_prefix": inside["profile"],
            "register_custom_ops_library": code,
            "custom_op_library": code,
            "custom_op_libs": [code],
            "config_entries": config,
            "extra_session_config": config,
            "ep_library": {"name": "evil", "path": code},
        },
        "execution_provider": [["CPUExecutionProvider", paths], ["QNNExecutionProvider", paths]],
        "provider_options": [paths, paths],
    }


def told_by_the_model(path: Path, settings: Wanted) -> None:
    """Settings inside of the model, where ONNX Runtime looks for them when it is allowed to."""
    model = onnx.load(path)
    options = {key: value for key, value in settings["session_options"].items() if isinstance(value, str | bool)}
    model.metadata_props.add(key="ort_config", value=json.dumps({"session_options": options}))
    onnx.save(model, path)


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_the_library_of_these_tests_would_do_harm(tmp_path: Path) -> None:
    ctypes.CDLL(str(library(tmp_path, tmp_path / "owned")))
    assert (tmp_path / "owned").exists()


@pytest.mark.parametrize("form", [packed, spread])
def test_verify_loads_no_library_and_writes_no_file_for_a_package_and_says_what_it_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Callable[..., Path]
) -> None:
    outside, scratch = tmp_path / "outside", tmp_path / "scratch"
    for folder in (outside, scratch, tmp_path / "storage"):
        folder.mkdir()
    settings = hostile(str(library(outside, outside / "owned")), outside)
    farm = EngineStorage(tmp_path / "storage")
    model = save(farm.root / "m" / "model.onnx")
    told_by_the_model(model, settings)
    path, poured = farm.pour(farm.made_up({"model_path": farm.engine_path(model)}))
    (place,) = poured.models
    files = unpacked(path) | {f"{place}/ops.so": (outside / "ops.so").read_bytes()}
    for name, at in (("models_rank.json", 0), (f"{place}/model_info.json", None)):
        files = edited(files, name, lambda found, at=at: _put(found if at is None else found[at], settings))
    files = edited(files, f"{place}/model_info.json", lambda info: info["files"].append("ops.so"))
    own = {key: value for key, value in settings.items() if key != "provider_options"}
    files = edited(files, f"{place}/inference_config.json", lambda config: config.update(own))
    package = form(tmp_path / "hostile", honest(files))
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setattr("tempfile.tempdir", None)
    before = everything(tmp_path)
    found = checks(package)["models"]
    assert found["state"] == "ok", found
    assert everything(tmp_path) == before
    (note,) = found["notes"]
    for name in ("optimized_model_filepath", "profile_file_prefix", "custom_op_library", "ep.context_file_path"):
        assert name in note
    assert note.endswith("may load a library or write a file: none is used here")


def _put(entry: Any, settings: Wanted) -> None:
    entry["model_config"]["config"]["inference_settings"] = settings


def test_a_worker_loads_no_library_and_writes_no_file_and_says_what_it_left_out(gallery: Gallery) -> None:
    folder, outside = gallery.folder(), gallery.outside
    code = library(folder, outside / "owned")
    settings = hostile(str(code), outside)
    told_by_the_model(folder / "model.onnx", settings)
    before = everything(folder)
    final = gallery.run(folder, onnx_model(folder / "model.onnx", inference_settings=settings))
    assert isinstance(final, CompletedEvent)
    (package,) = final.data.packages
    assert package.state == "succeeded", package
    assert gallery.leaks() == []
    assert {name for name in everything(folder) - before if not name.startswith("out")} == set()
    told = " ".join(package.warnings)
    for name in ("optimized_model_filepath", "profile_file_prefix", "custom_op_library", "backend_path"):
        assert name in told
