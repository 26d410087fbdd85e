from __future__ import annotations

import pytest

from packhouse.schemas.events import FinishedRun
from packhouse.schemas.paths import PathMap
from packhouse.worker.storage.location import Location, locate

RUN = FinishedRun.model_validate({"engine": {"name": "olive"}, "output_dir": "/srv/olive/out"})
MAPPING = PathMap.parse(["/srv/olive=/mnt/farm", "C:\\olive=/mnt/win", "\\\\nas\\olive=/mnt/nas"])


@pytest.mark.parametrize(
    ("path", "here", "sibling"),
    [
        ("/srv/olive/m/a.onnx", "/mnt/farm/m/w/b.bin", "/srv/olive/m/w/b.bin"),
        ("C:\\olive\\m\\a.onnx", "/mnt/win/m/w/b.bin", "C:\\olive\\m\\w\\b.bin"),
        ("c:/olive/m/a.onnx", "/mnt/win/m/w/b.bin", "c:/olive/m/w/b.bin"),
        ("C:/olive\\m\\a.onnx", "/mnt/win/m/w/b.bin", "C:/olive\\m\\w/b.bin"),
        ("\\\\nas\\olive\\m\\a.onnx", "/mnt/nas/m/w/b.bin", "\\\\nas\\olive\\m\\w\\b.bin"),
    ],
)
def test_what_lies_beside_a_file_is_found_by_the_name_it_is_shown_by(path: str, here: str, sibling: str) -> None:
    beside = locate(path, RUN, MAPPING).parent.child("w/b.bin")
    assert beside.path == here
    assert beside.shown.replace("\\", "/") == sibling.replace("\\", "/")
    assert locate(beside.shown, RUN, MAPPING) == beside


def test_the_folder_of_a_file_in_the_root_is_the_root() -> None:
    location = locate("/m.onnx", RUN, MAPPING)
    assert location.parent.shown == location.parent.path == "/"
    assert location.parent.child("a") == locate("/a", RUN, MAPPING)


def test_a_path_that_is_mapped_to_blobs_is_shown_as_the_sender_knows_it() -> None:
    mapped = Location("https://acct1.blob.core.windows.net/models/in", "/srv/olive").child("a b/ü")
    assert mapped.path == "https://acct1.blob.core.windows.net/models/in/a%20b/%C3%BC"
    assert mapped.shown == "/srv/olive/a b/ü"
    assert mapped.name == "ü"
    windows = Location("https://acct1.blob.core.windows.net/models", "C:\\olive").child("a/b")
    assert windows.shown == "C:\\olive\\a\\b"
