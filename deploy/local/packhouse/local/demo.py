"""``python -m packhouse.local.demo``: real Olive runs become verified ZIPs, by the commands a person would type."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packhouse.local.stack import Stack
from packhouse.schemas.errors import PackhouseError, describe

_ENGINE_ROOT: Final = "/srv/olive"
_SAMPLES: Final = (
    ("olive-0.6.2-cpu-and-openvino", ("digits",)),
    ("olive-0.13.0-search", ("digits", "digits-again")),
)


@dataclass(frozen=True)
class _Run:
    """A sample's copy, as if an engine had just left it there."""

    folder: Path
    names: tuple[str, ...]

    @property
    def output_dir(self) -> Path:
        """What the engine put out."""
        return self.folder / "output_dir"

    @property
    def config(self) -> Path:
        """The packages that are asked for."""
        return self.folder / "packaging.json"

    @property
    def packages(self) -> list[Path]:
        """The packages that are to come."""
        return [self.output_dir / f"{name}.zip" for name in self.names]


def main(samples: Path = Path("tests/data"), home: Path = Path(".packhouse/demo")) -> int:
    """Run the demonstration. Returns 0 where every package was made and verified."""
    if not samples.is_dir():
        _say(f"The sample runs are not here: {samples.absolute()}. Call this from the project's folder: make demo")
        return 2
    home.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix="run-", dir=home)).absolute()
    place.chmod(0o755)
    runs = [_copy(samples / name, place / name, names) for name, names in _SAMPLES]
    stack = Stack(home / "stack", [place], concurrency=2)
    try:
        _say(f"Starting a server, two workers and Flower; their state is in {stack.folder.path}")
        with stack:
            _say(f"Redis  {stack.redis_url}")
            _say(f"Flower {stack.flower_url}  (while this runs)")
            failed = [run.folder.name for run in runs if not _package(run, stack.folder.path)]
    except PackhouseError as error:
        _say(describe(error.problem))
        return 5
    _say("")
    if failed:
        _say(f"FAILED: {', '.join(failed)}. The workers' logs are in {stack.folder.logs}")
        return 1
    _say("All packages were made and verified. They stay here:")
    for run in runs:
        for package in run.packages:
            _say(f"  {_short(package)}")
    _say(f"\nThe stack has stopped. To look at Flower again: packhouse up --data-dir {_short(stack.folder.path)}")
    return 0


def _copy(sample: Path, folder: Path, names: tuple[str, ...]) -> _Run:
    shutil.copytree(sample, folder)
    run = _Run(folder, names)
    run.config.write_text(json.dumps([{"type": "Zipfile", "name": name} for name in names], indent=2))
    return run


def _package(run: _Run, data_dir: Path) -> bool:
    """Publish a run and verify its packages. Returns whether everything is as it should be."""
    _say(f"\n━━━ {run.folder.name}")
    where = ["--map", f"{_ENGINE_ROOT}={run.folder}", "--data-dir", _short(data_dir)]
    request = ["publish", _short(run.output_dir), "--packaging-config", _short(run.config), *where]
    good = _call([*request, "--wait", "--timeout", "300"])
    for package in run.packages:
        if package.is_file():
            good = _call(["verify", _short(package)]) and good
        else:
            _say(f"{package} is missing")
            good = False
    return good


def _call(arguments: list[str]) -> bool:
    _say(f"\n$ packhouse {shlex.join(arguments)}")
    program = str(Path(sys.executable).with_name("packhouse"))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PACKHOUSE_")}
    return subprocess.run([program, *arguments], env=environment, check=False).returncode == 0


def _short(path: Path) -> str:
    """The path as one would type it here."""
    return os.path.relpath(path)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
