"""Registered assets, one file each, below a folder: what is answered is on disk."""

from __future__ import annotations

import json
import re
import shutil
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from packhouse.local.azure.identity import write_private

NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,254}")
"""Azure ML's rule for the names of models and data."""
VERSION: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,29}")

Stored = dict[str, Any]
"""``version``, ``created``, ``modified`` (ISO 8601 times) and ``properties``, the document as it was accepted."""


class Assets:
    """The versions of one kind of asset (``models``, ``data``) in one workspace."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.lock = threading.RLock()
        """Held by whoever reads in order to write."""

    def names(self) -> list[str]:
        """The names that have a version, in order."""
        folders = sorted(self._folder.glob("*")) if self._folder.is_dir() else []
        return [folder.name for folder in folders if any(folder.glob("*.json"))]

    def versions(self, name: str) -> list[Stored]:
        """The versions of a name, oldest first."""
        found = [json.loads(file.read_text("utf-8")) for file in (self._folder / name).glob("*.json")]
        return sorted(found, key=lambda one: str(one["created"]))

    def get(self, name: str, version: str) -> Stored | None:
        """One version."""
        try:
            return json.loads(self._file(name, version).read_text("utf-8"))
        except FileNotFoundError:
            return None

    def put(self, name: str, version: str, properties: dict[str, Any]) -> Stored:
        """Make a version, or replace its properties."""
        now = datetime.now(UTC).isoformat()
        with self.lock:
            before = self.get(name, version)
            stored = {
                "version": version,
                "created": before["created"] if before else now,
                "modified": now,
                "properties": properties,
            }
            file = self._file(name, version)
            file.parent.mkdir(parents=True, exist_ok=True)
            write_private(file, json.dumps(stored, indent=2))
            return stored

    def remove(self, name: str, version: str) -> bool:
        """Forget a version. Returns whether it was there."""
        with self.lock:
            there = self._file(name, version).exists()
            self._file(name, version).unlink(missing_ok=True)
            return there

    def clear(self) -> None:
        """Forget every version."""
        with self.lock:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _file(self, name: str, version: str) -> Path:
        return self._folder / name / f"{version}.json"
