"""Running ``packhouse verify`` on packages, and tampering with these."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from packhouse.schemas.checks import CheckState, Verdict
from packhouse.worker.cli.verify import verify
from packhouse.worker.models.trial import Outcome

Files = dict[str, bytes]
LOADED = Outcome(Verdict(state=CheckState.PASSED))
"""What trying a model comes to, for tests that are about something else."""


class Silent:
    """Nobody watches the verification."""

    def stage(self, name: str, total: int) -> None: ...

    def advance(self, count: int) -> None: ...


def run(*arguments: str | Path) -> Result:
    """The command with these arguments."""
    return CliRunner().invoke(verify, [str(each) for each in arguments])


def report(package: Path) -> dict[str, Any]:
    """What ``--json`` prints; the exit status agrees with it."""
    result = run(package, "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == (0 if found["ok"] else 1)
    return found


def checks(package: Path) -> dict[str, dict[str, Any]]:
    """Every check by its name."""
    return {check["name"]: check for check in report(package)["checks"]}


def failed(package: Path) -> dict[str, list[str]]:
    """Findings of each check that failed."""
    return {name: check["findings"] for name, check in checks(package).items() if check["state"] == "failed"}


def unpacked(package: Path) -> Files:
    """Every file of a ZIP."""
    with zipfile.ZipFile(package) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def honest(files: Mapping[str, bytes]) -> Files:
    """The files with a manifest that is up to date, as one who tampers with care would have it."""
    manifest = json.loads(files["manifest.json"])
    manifest["files"] = [
        {"path": path, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for path, data in sorted(files.items())
        if path != "manifest.json"
    ]
    return {**files, "manifest.json": json.dumps(manifest).encode()}


def packed(package: Path, files: Mapping[str, bytes]) -> Path:
    """The files as a ZIP."""
    with zipfile.ZipFile(package, "w") as archive:
        for path, data in files.items():
            archive.writestr(path, data)
    return package


def spread(folder: Path, files: Mapping[str, bytes]) -> Path:
    """The files as a folder."""
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def edited(files: Mapping[str, bytes], path: str, change: Callable[[Any], object]) -> Files:
    """The files with one JSON document changed."""
    value = json.loads(files[path])
    change(value)
    return {**files, path: json.dumps(value).encode()}
