"""Runtime packages as tests ask for them, and a packed folder of them installed as a user would."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packhouse.schemas import FinishedRun
from packhouse.schemas.files import RUNTIME_PACKAGES
from packhouse.worker.package.tree import CachedFile, Made
from packhouse.worker.runtimes.gather import Gathered, gather
from packhouse.worker.runtimes.store import RuntimeStore
from packhouse.worker.settings import Settings

INSTALLS_WITHIN = 600.0


@dataclass
class Told:
    """Notes what work in progress reports."""

    stages: list[str] = field(default_factory=list)
    beats: int = 0
    bytes: int = 0

    def stage(self, name: str, total: int = 0) -> None:
        self.stages.append(name)

    def advance(self, count: int) -> None:
        self.beats += 1
        self.bytes += count


def a_run(*packages: str) -> FinishedRun:
    """A run whose engine reports packages such as ``onnxruntime==1.20.1``."""
    pairs = (text.partition("==") for text in packages)
    reported = [{"name": name, "version": version} for name, _, version in pairs]
    return FinishedRun.model_validate({"engine": {"name": "test", "runtime_packages": reported}, "output_dir": "/out"})


def gathered(
    settings: Settings, *packages: str, providers: Sequence[str] = ("CPUExecutionProvider",), **more: Any
) -> Gathered:
    """What a new process with these settings gets for a run."""
    more = {"generative": False, "extensions": False, "progress": Told(), **more}
    return gather(a_run(*packages), providers, store=RuntimeStore(settings), **more)


def unpacked(result: Gathered, settings: Settings, to: Path) -> Path:
    """The folder as it lies in an unpacked package: returns the root of that."""
    store = RuntimeStore(settings)
    for path, entry in result.entries.items():
        place = to / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content(entry, store))
    return to


def content(entry: CachedFile | Made, store: RuntimeStore) -> bytes:
    """The bytes of an entry."""
    if isinstance(entry, Made):
        return entry.data
    with store.open(entry) as file:
        data = bytearray(file.size)
        at = 0
        while count := file.readinto(memoryview(data)[at:], at):
            at += count
        return bytes(data)


def install(package: Path, folder: Path, *, build: str = "onnxruntime", platform: str = "linux_x86_64") -> Path:
    """The interpreter of a new environment in a folder, with the runtime of an unpacked package and nothing else.

    ``package`` is the root of the package; its wheels must be packed with their dependencies, for the Python that runs
    this. No network is used, and every file is held to its hash.
    """
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    wheels = package / RUNTIME_PACKAGES / "python"
    requirements = wheels / f"requirements-{build}-{platform}-py{python}.txt"
    _run([sys.executable, "-m", "venv", "--without-pip", str(folder)])
    interpreter = folder / "bin" / "python"
    _run(
        [
            sys.executable, "-m", "pip", "--python", str(interpreter), "install", "--quiet", "--require-hashes",
            "--no-index", "--find-links", str(wheels), "-r", str(requirements),
        ]
    )  # fmt: skip
    return interpreter


def _run(command: list[str]) -> None:
    # Nothing that this machine's pip is configured with may help.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    environment |= {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=INSTALLS_WITHIN
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
