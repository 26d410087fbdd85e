"""``python -m packhouse.local.demo``: real Olive runs become packages of every type, by commands that anyone can type.

The packages are then looked at from outside: ZIPs are verified, assets are fetched again by Azure's SDK.
"""

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

from packhouse.local.azure.environment import without_azure
from packhouse.local.demo_report import Outcome, show
from packhouse.local.stack import Stack
from packhouse.schemas import STATUS_EVENT, CompletedEvent
from packhouse.schemas.errors import PackhouseError, describe

_ENGINE_ROOT: Final = "/srv/olive"
_SAMPLES: Final = (
    ("olive-0.6.2-cpu-and-openvino", ("digits",), "onnxruntime==1.18.1"),
    ("olive-0.13.0-search", ("digits", "digits-again"), "onnxruntime==1.31.1"),
)
"""Folder in the samples, names of the ZIPs to make of it, and the runtime that the engine had."""
_PROGRAM: Final = str(Path(sys.executable).with_name("packhouse"))
_ASSET_TYPES: Final = ("AzureMLModels", "AzureMLData")


@dataclass(frozen=True)
class _Run:
    """A sample's copy, as if an engine had just left it there."""

    folder: Path
    names: tuple[str, ...]
    runtime: str

    @property
    def output_dir(self) -> Path:
        """What the engine put out."""
        return self.folder / "output_dir"

    @property
    def config(self) -> Path:
        """The packages that are asked for."""
        return self.folder / "packaging.json"

    @property
    def id(self) -> str:
        """The run's id: another one each time."""
        return f"{self.folder.parent.name}-{self.folder.name}"

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
    runs = [_copy(samples / name, _Run(place / name, names, runtime)) for name, names, runtime in _SAMPLES]
    stack = Stack(home / "stack", [place], concurrency=2, azure=True)
    try:
        _say(f"Starting a server, two workers, Flower and a stand-in for Azure; their state is in {stack.folder.path}")
        with stack:
            _say(f"Redis  {stack.redis_url}")
            _say(f"Flower {stack.flower_url}  (while this runs)")
            outcomes = [_package(run, stack) for run in runs]
            _say("\n━━━ What there is now")
            good = show(outcomes, {**without_azure(os.environ), **stack.azure_environment})
    except PackhouseError as error:
        _say(describe(error.problem))
        return 5
    _say("")
    if not stack.azure_environment:
        _say(f"Left out, since there was no stand-in for Azure: {' and '.join(_ASSET_TYPES)}. It needs node and npm.")
    if not good:
        _say(f"FAILED: see above. The workers' logs are in {stack.folder.logs}")
        return 1
    _say("All packages were made and verified. They stay here:")
    for run in runs:
        for package in run.packages:
            _say(f"  {_short(package)}")
    _say(f"\nThe stack has stopped. To look at Flower again: packhouse up --data-dir {_short(stack.folder.path)}")
    return 0


def _copy(sample: Path, run: _Run) -> _Run:
    shutil.copytree(sample, run.folder)
    return run


def _package(run: _Run, stack: Stack) -> Outcome:
    """Publish a run and verify its ZIPs."""
    _say(f"\n━━━ {run.folder.name}")
    wanted = [{"type": "Zipfile", "name": name} for name in run.names]
    if stack.azure_environment:
        # The runs have different models for the same accelerator: each has assets of its own name.
        name = run.folder.name.replace(".", "-")
        # What an earlier demonstration registered stays: each has the next version.
        wanted += [{"type": kind, "name": name, "config": {"version": "auto"}} for kind in _ASSET_TYPES]
    run.config.write_text(json.dumps(wanted, indent=2))
    where = ["--map", f"{_ENGINE_ROOT}={run.folder}", "--data-dir", _short(stack.folder.path)]
    request = ["publish", _short(run.output_dir), "--packaging-config", _short(run.config), "--run-id", run.id, *where]
    _call([*request, "--runtime", run.runtime, "--wait", "--timeout", "300"])
    sound = [package for package in run.packages if package.is_file() and _verified(package)]
    return Outcome(run.folder.name, _final(run, stack.folder.path), frozenset(package.name for package in sound))


def _verified(package: Path) -> bool:
    """Whether a ZIP is sound, and its Python sample runs from where it is unpacked."""
    if not _call(["verify", _short(package)]):
        return False
    folder = package.with_suffix("")
    shutil.unpack_archive(package, folder)
    sample = folder / "SampleCode" / "python" / "sample.py"
    _say(f"\n$ unzip -q {_short(package)} -d {_short(folder)} && python {_short(sample)}")
    return subprocess.run([sys.executable, str(sample)], env=_environment(), check=False).returncode == 0


def _final(run: _Run, data_dir: Path) -> CompletedEvent | None:
    """The last word on a run."""
    shown = subprocess.run(
        [_PROGRAM, "status", run.id, "--json", "--data-dir", str(data_dir)],
        env=_environment(),
        stdout=subprocess.PIPE,
        check=False,
    )
    events = [STATUS_EVENT.validate_json(line) for line in shown.stdout.splitlines()]
    return next((event for event in events if isinstance(event, CompletedEvent)), None)


def _call(arguments: list[str]) -> bool:
    _say(f"\n$ packhouse {shlex.join(arguments)}")
    return subprocess.run([_PROGRAM, *arguments], env=_environment(), check=False).returncode == 0


def _environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("PACKHOUSE_")}


def _short(path: Path) -> str:
    """The path as one would type it here."""
    return os.path.relpath(path)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
