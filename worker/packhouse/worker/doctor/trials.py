"""What trying models and packing runtimes needs: folders, execution providers, and places to fetch from."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from packhouse.worker.doctor.finding import Finding, failed, ok, skipped, warning
from packhouse.worker.runtimes.failures import NotHad
from packhouse.worker.runtimes.store import RuntimeStore
from packhouse.worker.settings import Settings

_TRIALS = "trials"
_CACHE = "cache"
_WHEELS = "wheels"
_NUGET = "nuget"


def check_trials(settings: Settings) -> Iterator[Finding]:
    """Whether models can be tried here, and on which execution providers."""
    if settings.check_models == "off":
        yield skipped(_TRIALS, "Models are packaged without being tried (PACKHOUSE_CHECK_MODELS=off).")
        return
    folder = settings.scratch or tempfile.gettempdir()
    if (reason := not_writable(Path(folder))) is not None:
        yield failed(
            _TRIALS,
            f"Nothing can be written into the scratch folder {folder} ({reason}), so no model is tried.",
            "Let the worker's user write it, or name another one in PACKHOUSE_SCRATCH.",
        )
        return
    import onnxruntime  # pyright: ignore[reportMissingTypeStubs] -- it has none

    providers = ", ".join(onnxruntime.get_available_providers())
    yield ok(_TRIALS, f"Models are tried with onnxruntime {onnxruntime.__version__}, which has {providers}.")


def check_runtimes(settings: Settings) -> Iterator[Finding]:
    """Whether runtime packages can be had: the cache, the folder, the NuGet feed. Of pip's index nothing is asked."""
    if settings.runtime_source == "off":
        yield skipped(_WHEELS, "Packages hold no runtimes (PACKHOUSE_RUNTIME_SOURCE=off).")
        return
    store = RuntimeStore(settings)
    if (reason := not_writable(store.cache_folder)) is not None:
        yield failed(
            _CACHE,
            f"Nothing can be written into the cache folder {store.cache_folder} ({reason}).",
            "Let the worker's user write it, or name another one in PACKHOUSE_CACHE_DIR.",
        )
    else:
        yield ok(_CACHE, f"What is fetched is kept in {store.cache_folder}.")
    if settings.runtime_source == "folder":
        folder = Path(settings.runtime_folder or "")
        if not folder.is_dir():
            yield failed(_WHEELS, f"The folder of runtime packages {folder} is not there.", "Make it, or mount it.")
        else:
            yield ok(_WHEELS, f"Runtime packages are taken from {folder}.")
        return
    yield ok(_WHEELS, "Wheels come from the index that pip is configured with.")
    if settings.nuget_index is None:
        yield warning(
            _NUGET,
            "Packages hold no NuGet packages: no feed is set.",
            "Name the service index of one in PACKHOUSE_NUGET_INDEX, or take no notice.",
        )
        return
    try:
        store.reach_feed()
    except NotHad as why:
        yield failed(_NUGET, f"The NuGet feed cannot be used. {why.reason}", "Correct PACKHOUSE_NUGET_INDEX.")
    else:
        yield ok(_NUGET, "The NuGet feed answers.")


def not_writable(folder: Path) -> str | None:
    """Why nothing can be written into a folder, or where it is not there yet, beside it; None where it can."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"packhouse")
    except OSError as error:
        return error.strerror or type(error).__name__
    return None
