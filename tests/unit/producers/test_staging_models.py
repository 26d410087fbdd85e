from __future__ import annotations

import errno
import os
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from packhouse.producers import filecopy
from packhouse.producers.staging import stage
from packhouse.schemas import ErrorCode, FinishedRun, PackhouseError


def run_with(*paths: Path | str, marked: bool = True) -> FinishedRun:
    nodes = [{"model_id": "in"}] + [
        {
            "model_id": f"m{at}",
            "parent_model_id": "in",
            "from_pass": "P",
            "is_output": marked,
            "model": {"type": "ONNXModel", "config": {"model_path": str(path)}},
        }
        for at, path in enumerate(paths)
    ]
    data = {
        "engine": {"name": "olive"},
        "output_dir": "/out",
        "footprints": [{"accelerator": "cpu-cpu", "nodes": nodes}],
    }
    return FinishedRun.model_validate(data)


def staged_paths(run: FinishedRun) -> list[Path]:
    models = (node.model for node in run.footprints[0].nodes)
    return [Path(model.model_path) for model in models if model and model.model_path]


def save_model(path: Path, location: str | None = None, *, data: bytes | None = b"\0" * 4096) -> Path:
    """An ONNX model, its one weight in another file if a location is given."""
    weight = helper.make_tensor("w", TensorProto.FLOAT, [1024], b"\0" * 4096, raw=True)
    if location is not None:
        weight.ClearField("raw_data")
        weight.data_location = TensorProto.EXTERNAL
        weight.external_data.add(key="location", value=location)
    graph = helper.make_graph([], "g", [], [], [weight])
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save_model(helper.make_model(graph), str(path))
    if location is not None and data is not None:
        target = path.parent / location
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return path


@pytest.fixture(params=["clone or link", "copy"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """File systems that can, and one that can only copy."""
    if request.param == "copy":
        monkeypatch.setattr(filecopy, "_clone", lambda source, destination: False)
        link = Path.hardlink_to

        def only_below_the_target(self: Path, target: Path) -> None:
            if "staged" not in target.parts:
                raise OSError(errno.EXDEV, "other file system")
            link(self, target)

        monkeypatch.setattr(Path, "hardlink_to", only_below_the_target)
    return request.param


def test_a_staged_model_outlives_the_engines_cache(tmp_path: Path, way: str) -> None:
    model = save_model(tmp_path / "cache" / "m.onnx")
    content = model.read_bytes()
    run = stage(run_with(model), tmp_path / "staged")
    model.unlink()
    (staged,) = staged_paths(run)
    assert staged.name == "m.onnx"
    assert staged.read_bytes() == content
    assert staged.is_relative_to(tmp_path / "staged")
    assert str(tmp_path / "staged") in run.engine.directories


def test_external_data_travels_with_the_model_and_nothing_else_does(tmp_path: Path, way: str) -> None:
    model = save_model(tmp_path / "cache" / "m.onnx", "data/w.bin")
    (tmp_path / "cache" / "other.onnx").write_bytes(b"another model")
    (staged,) = staged_paths(stage(run_with(model), tmp_path / "staged"))
    assert (staged.parent / "data/w.bin").read_bytes() == b"\0" * 4096
    assert sorted(each.name for each in staged.parent.iterdir()) == ["data", "m.onnx"]
    onnx.load(str(staged))


def test_a_folder_is_staged_whole(tmp_path: Path, way: str) -> None:
    save_model(tmp_path / "cache" / "model" / "m.onnx")
    (tmp_path / "cache" / "model" / "tokenizer").mkdir()
    (tmp_path / "cache" / "model" / "tokenizer" / "vocab.txt").write_text("words")
    (staged,) = staged_paths(stage(run_with(tmp_path / "cache" / "model"), tmp_path / "staged"))
    assert (staged / "tokenizer" / "vocab.txt").read_text() == "words"
    assert (staged / "m.onnx").is_file()


def test_candidates_that_share_a_model_share_its_copy(tmp_path: Path) -> None:
    model = save_model(tmp_path / "cache" / "m.onnx")
    first, second = staged_paths(stage(run_with(model, model), tmp_path / "staged"))
    assert first == second


def test_models_of_one_folder_that_share_their_data_take_it_along_once(tmp_path: Path, way: str) -> None:
    one = save_model(tmp_path / "cache" / "one.onnx", "w.bin")
    two = save_model(tmp_path / "cache" / "two.onnx", "w.bin")
    first, second = staged_paths(stage(run_with(one, two), tmp_path / "staged"))
    assert first.parent == second.parent
    assert sorted(each.name for each in first.parent.iterdir()) == ["one.onnx", "two.onnx", "w.bin"]


@pytest.mark.parametrize("as_folder", [False, True])
def test_external_data_gets_no_second_hard_link_so_that_onnx_goes_on_reading_it(
    tmp_path: Path, as_folder: bool
) -> None:
    model = save_model(tmp_path / "cache" / "m.onnx", "w.bin")
    (staged,) = staged_paths(stage(run_with(model.parent if as_folder else model), tmp_path / "staged"))
    onnx.load(str(staged / "m.onnx" if as_folder else staged))
    onnx.load(str(model))


def test_staging_twice_gives_the_same_run_and_leaves_nothing_over(tmp_path: Path, way: str) -> None:
    run = run_with(save_model(tmp_path / "cache" / "m.onnx", "w.bin"))
    first, second = (stage(run, tmp_path / "staged") for _ in range(2))
    assert first == second
    assert len(list((tmp_path / "staged").iterdir())) == 1


def test_links_are_staged_as_what_they_lead_to(tmp_path: Path) -> None:
    blob = save_model(tmp_path / "blobs" / "abc")
    link = tmp_path / "cache" / "m.onnx"
    link.parent.mkdir()
    link.symlink_to(blob)
    (staged,) = staged_paths(stage(run_with(link), tmp_path / "staged"))
    assert not staged.is_symlink()
    assert staged.read_bytes() == blob.read_bytes()


def test_only_candidates_are_staged(tmp_path: Path) -> None:
    run = run_with(tmp_path / "gone.onnx", marked=False)
    output = run_with(save_model(tmp_path / "m.onnx")).footprints[0].nodes[1].model_copy(update={"model_id": "out"})
    footprint = run.footprints[0]
    run = run.model_copy(update={"footprints": [footprint.model_copy(update={"nodes": [*footprint.nodes, output]})]})
    gone, staged = staged_paths(stage(run, tmp_path / "staged"))
    assert gone == tmp_path / "gone.onnx"
    assert staged.is_relative_to(tmp_path / "staged")


def test_progress_ends_with_all_bytes_done(tmp_path: Path, way: str) -> None:
    seen: list[tuple[int, int]] = []
    run = run_with(save_model(tmp_path / "a.onnx", "w.bin"), save_model(tmp_path / "b.onnx", "w.bin"))
    stage(run, tmp_path / "staged", progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] == sum(each.stat().st_size for each in (tmp_path / "staged").rglob("*.*"))


@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("../secret.bin", ErrorCode.EXTERNAL_DATA_OUTSIDE),
        ("/etc/hostname", ErrorCode.EXTERNAL_DATA_OUTSIDE),
        ("a/../../secret.bin", ErrorCode.EXTERNAL_DATA_OUTSIDE),
        ("gone.bin", ErrorCode.EXTERNAL_DATA_MISSING),
    ],
)
def test_external_data_outside_or_missing_stages_nothing_and_names_the_node(
    tmp_path: Path, location: str, code: ErrorCode
) -> None:
    model = save_model(tmp_path / "cache" / "m.onnx", location, data=None)
    (tmp_path / "secret.bin").write_text("secret")
    with pytest.raises(PackhouseError) as caught:
        stage(run_with(model), tmp_path / "staged")
    assert caught.value.code is code
    assert "'m0'" in caught.value.message
    assert not (tmp_path / "staged").exists()


def test_a_model_that_is_not_there_is_named_with_its_node(tmp_path: Path) -> None:
    with pytest.raises(PackhouseError) as caught:
        stage(run_with(tmp_path / "gone.onnx"), tmp_path / "staged")
    assert caught.value.code is ErrorCode.MODEL_MISSING
    assert "'m0'" in caught.value.message


@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOSPC, ErrorCode.DISK_FULL), (errno.EACCES, ErrorCode.DESTINATION_UNWRITABLE)]
)
def test_a_copy_that_fails_is_never_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: ErrorCode
) -> None:
    monkeypatch.setattr(filecopy, "_clone", lambda source, destination: False)
    monkeypatch.setattr(filecopy, "_link", lambda source, destination: False)

    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(PackhouseError) as caught:
        stage(run_with(save_model(tmp_path / "m.onnx")), tmp_path / "staged")
    assert caught.value.code is code
    assert list((tmp_path / "staged").iterdir()) == []
