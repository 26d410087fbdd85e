from __future__ import annotations

import re
from pathlib import Path

PROJECT = Path(__file__).parents[3]
PICTURES = PROJECT / "deploy" / "pictures"


def test_pictures_are_small_and_fetch_nothing() -> None:
    pictures = sorted(PICTURES.iterdir())
    assert [picture.name for picture in pictures] == [
        "flower-failure.png", "flower-runs.png", "report.png", "terminal.svg",
    ]  # fmt: skip
    for picture in pictures:
        assert picture.stat().st_size <= 150_000, picture
    svg = (PICTURES / "terminal.svg").read_text("utf-8")
    assert not re.search(r"url\((?!#)|<image|href=", svg)
    # Everything runs below one folder that is called the same on every machine.
    assert set(re.findall(r"(?<![\w.])/(\w+)/(?=\w)", svg)) <= {"tmp", "farm", "output_dir"}
