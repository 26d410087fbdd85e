from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from packhouse.worker.runtimes import pip


def test_what_pip_removes_while_its_bytes_are_counted_is_no_error(tmp_path: Path) -> None:
    for name in ("first", "removed", "then"):
        (tmp_path / name / "below").mkdir(parents=True)
        (tmp_path / name / "below" / "a.whl").write_bytes(b"12345")
        (tmp_path / name / "below" / "a.txt").write_bytes(b"123")
    removed = tmp_path / "removed"
    seen: list[str] = []

    def remove(event: str, arguments: tuple[object, ...]) -> None:
        """The last moment before the folder is read: it was there when the one above was."""
        if event == "os.scandir" and isinstance(arguments[0], str | os.PathLike) and Path(arguments[0]) == removed:
            seen.append(event)
            shutil.rmtree(removed / "below", ignore_errors=True)
            removed.rmdir()

    sys.addaudithook(remove)  # for good, but it knows no other folder
    assert pip._bytes_in(tmp_path) == 10
    assert seen
    assert not removed.exists()
