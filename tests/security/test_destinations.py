"""A package goes below a storage root too, and what lies in its place is replaced and never written through."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.gallery import MARK, Gallery, onnx_model

from packhouse.schemas import CompletedEvent


@pytest.fixture(autouse=True)
def nothing_leaks(gallery: Gallery) -> Iterator[None]:
    yield
    assert gallery.leaks() == []
    assert (gallery.outside / "secret").read_bytes() == MARK * 10
    assert gallery.farm.workers[0].process.poll() is None, gallery.farm.logs()[-2000:]


def test_a_link_in_the_place_of_a_package_or_its_report_is_replaced_and_not_followed(gallery: Gallery) -> None:
    folder = gallery.folder()
    out = folder / "out"
    out.mkdir()
    places = [out / "OutputModels.zip", out / "OutputModels.report.html"]
    for place in places:
        place.symlink_to(gallery.outside / "secret")
    assert gallery.code(folder, onnx_model(folder / "model.onnx")) == "succeeded"
    assert not any(place.is_symlink() for place in places)
    assert zipfile.is_zipfile(places[0])
    assert places[1].read_text("utf-8").startswith("<!")


def test_a_hard_link_in_the_place_of_a_package_leaves_the_other_name_as_it_was(gallery: Gallery) -> None:
    folder = gallery.folder()
    (folder / "out").mkdir()
    (folder / "out" / "OutputModels.zip").hardlink_to(gallery.outside / "secret")
    assert gallery.code(folder, onnx_model(folder / "model.onnx")) == "succeeded"
    assert zipfile.is_zipfile(folder / "out" / "OutputModels.zip")


def test_a_pipe_in_the_place_of_a_package_is_replaced(gallery: Gallery) -> None:
    folder = gallery.folder()
    (folder / "out").mkdir()
    os.mkfifo(folder / "out" / "OutputModels.zip")
    assert gallery.code(folder, onnx_model(folder / "model.onnx")) == "succeeded"
    assert zipfile.is_zipfile(folder / "out" / "OutputModels.zip")


@pytest.mark.parametrize("kind", ["a link", "a link in the middle", "dots", "absolute", "a pipe", "a file"])
def test_an_output_folder_outside_or_of_no_folder_gets_nothing(gallery: Gallery, kind: str) -> None:
    folder = gallery.folder()
    out = folder / "out"
    if kind == "a link":
        out.symlink_to(gallery.outside)
    elif kind == "a link in the middle":
        (folder / "sub").symlink_to(gallery.outside)
        out = folder / "sub" / "deeper" / "out"
    elif kind == "dots":
        out = Path(f"{folder}/../../{gallery.outside.name}/out")
    elif kind == "absolute":
        out = gallery.outside / "out"
    elif kind == "a pipe":
        os.mkfifo(out)
    else:
        out.write_bytes(b"a file")
    code = gallery.code(folder, onnx_model(folder / "model.onnx"), output_dir=str(out))
    assert code in {"path_forbidden", "destination_unwritable"}


def test_an_output_folder_exchanged_for_a_link_while_it_is_packed_to_gets_the_package_or_nothing(
    gallery: Gallery,
) -> None:
    for _ in range(4):
        folder = gallery.folder()
        out, stop = folder / "out", folder / "stop"
        (folder / "real").mkdir()
        switcher = _switch(out, folder / "real", gallery.outside, stop)
        try:
            code = gallery.code(folder, onnx_model(folder / "model.onnx"))
        finally:
            stop.touch()
            switcher.wait(30)
        assert code in {"succeeded", "path_forbidden", "destination_unwritable"}
        assert not [path for path in gallery.outside.iterdir() if path.name != "secret"]


def _switch(out: Path, real: Path, outside: Path, stop: Path) -> subprocess.Popen[bytes]:
    program = (
        "import os, sys\n"
        "out, real, outside, stop = sys.argv[1:]\n"
        "while not os.path.exists(stop):\n"
        "    for target in (outside, real):\n"
        "        os.symlink(target, out + '.new')\n"
        "        os.replace(out + '.new', out)\n"
    )
    return subprocess.Popen([sys.executable, "-c", program, str(out), str(real), str(outside), str(stop)])


def test_a_hard_link_to_what_lies_outside_is_a_file_inside_and_gives_nothing_away_where_it_is_no_model(
    gallery: Gallery,
) -> None:
    """Nobody can tell one name of a file from another; who may make links in a root may put files there."""
    folder = gallery.folder()
    (folder / "hard.onnx").hardlink_to(gallery.outside / "secret")
    try:
        final = gallery.run(folder, onnx_model(folder / "hard.onnx"))
        assert isinstance(final, CompletedEvent)
        (package,) = final.data.packages
        assert package.error is not None
        assert package.error.code == "model_not_onnx"
        assert "nobody's business" not in final.model_dump_json()
    finally:
        (folder / "hard.onnx").unlink()
