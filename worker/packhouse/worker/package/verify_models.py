"""Whether the ONNX models inside a package load."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from packhouse.schemas.errors import PermanentError
from packhouse.schemas.files import RankEntry
from packhouse.schemas.onnx import external_locations
from packhouse.worker.models.load import load_error
from packhouse.worker.models.onnx import inside
from packhouse.worker.package.archive import UNREADABLE, Archive
from packhouse.worker.package.verify_candidate import main_file


class Watcher(Protocol):
    """Is told how far a verification is."""

    def stage(self, name: str, total: int) -> None:
        """A new stage begins, with so many bytes or models to do."""
        ...

    def advance(self, count: int) -> None:
        """So many more are done."""
        ...


def model_faults(
    archive: Archive, entries: Sequence[RankEntry], digests: Mapping[str, str], watcher: Watcher
) -> Iterator[str]:
    """Load the model of each entry; equal models are loaded once. ``digests`` are the manifest's, by path."""
    watcher.stage("models", len(entries))
    loaded: dict[tuple[str, ...], str | None] = {}
    for entry in entries:
        try:
            main = main_file(entry, archive.by_path)
        except ValueError:
            continue  # A finding of the ranks already.
        with tempfile.TemporaryDirectory(prefix="packhouse-verify-") as folder:
            error = _load(archive, main, Path(folder), digests, loaded)
        if error is not None:
            yield f"rank {entry.rank}: {main} does not load: {error}"
        watcher.advance(1)


def _load(
    archive: Archive, main: str, folder: Path, digests: Mapping[str, str], loaded: dict[tuple[str, ...], str | None]
) -> str | None:
    """Unpack a model with the files it refers to, and load it."""
    home, _, name = main.rpartition("/")
    try:
        archive.extract(main, folder / name)
        external: dict[str, str] = {}
        for tensor in external_locations(str(folder / name), shown=main):
            relative = inside(tensor.location)
            path = f"{home}/{relative}"
            if relative is None or path not in archive.by_path:
                return f"external data {tensor.location!r} is not in the package"
            if path != main:
                external[relative] = path
        key = (digests.get(main, main), *(f"{each} {digests.get(path, path)}" for each, path in external.items()))
        if key not in loaded:
            for relative, path in external.items():
                archive.extract(path, folder / relative)
            weights = sum(archive.by_path[path].file_size for path in (main, *external.values()))
            loaded[key] = load_error(str(folder / name), weights=weights)
        return loaded[key]
    except PermanentError as error:
        return error.message
    except UNREADABLE as error:
        return str(error)
