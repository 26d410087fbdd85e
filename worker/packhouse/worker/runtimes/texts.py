"""The files of the folder that Packhouse writes itself, beside the lock: the requirements and the README."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import Final

from packhouse.schemas.files import RuntimeLock
from packhouse.worker.runtimes.fetched import Fetched
from packhouse.worker.runtimes.target import Target

PYTHON: Final = "python"
NUGET: Final = "nuget"


def requirements_name(name: str, target: Target) -> str:
    """Of the file for a set of packages on a target, as in ``requirements-onnxruntime-win_amd64-py3.11.txt``."""
    return f"requirements-{name}-{target.platform}-py{target.python}.txt"


def requirements(wheels: Iterable[Fetched]) -> bytes:
    """Names, versions and hashes. Format: pip's requirements file."""
    lines = (f"{wheel.name}=={wheel.version} \\\n    --hash=sha256:{wheel.sha256}\n" for wheel in wheels)
    return "".join(sorted(set(lines))).encode()


def readme(lock: RuntimeLock, sets: Mapping[str, Sequence[str]], *, complete: bool) -> bytes:
    """How to install what is there, and what is not. ``sets`` are requirements files and whom each is for.

    ``complete`` says that what the wheels need is there too.
    """
    import jinja2

    template = resources.files(__package__ or "").joinpath("readme.md.jinja").read_text("utf-8")
    # Markdown, whose reader is a person: what is put into it is of the table, of the settings or a sentence of ours.
    environment = jinja2.Environment(  # noqa: S701
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    text = environment.from_string(template).render(
        sets=sorted(sets.items()),
        complete=complete,
        nuget=[file for file in lock.files if file.kind == "nuget"],
        unavailable=lock.unavailable,
    )
    return text.encode()
