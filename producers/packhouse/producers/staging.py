"""Copying a run's models to a folder that stays, for engines that clean up behind themselves."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from packhouse.producers.filecopy import FileCopier, sync_folder, writing_to
from packhouse.producers.models import Models, Unit
from packhouse.schemas.events import FinishedRun

Progress = Callable[[int, int], None]
"""Is told the bytes that are staged, and those that there are to stage."""


def stage(run: FinishedRun, folder: str | os.PathLike[str], *, progress: Progress | None = None) -> FinishedRun:
    """The run with its candidates' models in ``folder``, ONNX models with their external data.

    Copies share blocks where the file system can, are hard links where that can, else whole copies. The run's paths
    must be those of this machine. Each model appears under its name only once it is whole; what is there already is
    not copied again, so that staging and publishing a run twice is still one run.

    Raises ``PermanentError``: ``model_missing``, ``external_data_missing``, ``external_data_outside``,
    ``model_not_onnx``, ``destination_unwritable``, ``disk_full``; each names the model.
    """
    target = Path(folder).absolute()
    models = Models.of(run)
    places = _copy_all(models.units, target, progress)
    return models.moved(lambda folder, name: str(places[folder] / name), str(target))


def _copy_all(units: dict[Path, Unit], target: Path, progress: Progress | None) -> dict[Path, Path]:
    total = sum(unit.size for unit in units.values())
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if progress:
            progress(done, total)

    copier = FileCopier(advance)
    places: dict[Path, Path] = {}
    for folder, unit in units.items():
        place = target / unit.key
        with writing_to(target):
            if place.is_dir():
                advance(unit.size)
            else:
                _copy_unit(unit, place, copier)
        places[folder] = place
    return places


def _copy_unit(unit: Unit, place: Path, copier: FileCopier) -> None:
    unfinished = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
    try:
        unfinished.mkdir(parents=True)
        for relative, source in unit.files.items():
            destination = unfinished / relative
            destination.parent.mkdir(parents=True, exist_ok=True)
            # The onnx library refuses to read external data that has a second hard link, here or in the cache.
            copier.copy(source, destination, may_link=relative not in unit.data)
        sync_folder(unfinished)
        try:
            unfinished.rename(place)
        except OSError:
            # Somebody else was faster, with the same files; anything else is an error.
            if not place.is_dir():
                raise
        copier.moved(unfinished, place)
        sync_folder(place.parent)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
