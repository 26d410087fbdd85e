"""One worker for a gallery of attacks, and a secret outside its storage roots."""

from __future__ import annotations

import uuid
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.farm import Farm
from support.models import save

from packhouse.schemas import FinishedRun, RunFinished
from packhouse.schemas.status import CompletedEvent, RejectedEvent

MARK = b"this is nobody's business: 6f1d8e"


@dataclass
class Gallery:
    """A worker that tries models and packs them, with one storage root; every attack gets a folder below that."""

    farm: Farm
    root: Path
    outside: Path
    """A folder that the worker can read and that is no storage root; its files hold ``MARK``."""

    def folder(self) -> Path:
        """A new folder below the storage root, with a sound model."""
        folder = self.root / uuid.uuid4().hex[:8]
        save(folder / "model.onnx")
        return folder

    def run(
        self, folder: Path, model: dict[str, Any], *, output_dir: str | None = None, **more: Any
    ) -> CompletedEvent | RejectedEvent:
        """Publish a run of this one model, and wait for its end. ``more`` are fields of its node."""
        node = {"model_id": "m", "parent_model_id": "input", "from_pass": "Quantization", "model": model}
        data = FinishedRun.model_validate(
            {
                "engine": {"name": "olive"},
                "output_dir": output_dir or str(folder / "out"),
                "packaging_config": {"type": "Zipfile"},
                "footprints": [
                    {"accelerator": "cpu-cpu", "nodes": [{"model_id": "input"}, node | {"is_output": True} | more]}
                ],
            }
        )
        return self.publish(RunFinished.of(data, source="/attacker", run_id=uuid.uuid4().hex))

    def publish(self, event: RunFinished) -> CompletedEvent | RejectedEvent:
        """Publish an event and wait for its end."""
        self.farm.publish(event)
        return self.farm.wait_end(event)

    def code(self, folder: Path, model: dict[str, Any], **more: Any) -> str:
        """How the package of a run of this one model ended: ``succeeded``, or the code of its error."""
        final = self.run(folder, model, **more)
        assert isinstance(final, CompletedEvent), final
        (package,) = final.data.packages
        return package.error.code if package.error else "succeeded"

    def leaks(self) -> list[str]:
        """Files below the storage root, and events, that hold what lies outside; and what came into being outside."""
        found = [
            str(path) for path in self.root.rglob("*") if not path.is_symlink() and path.is_file() and _holds(path)
        ]
        found += [event for key in self.streams for event in self.farm.stream(key) if MARK.decode() in event]
        return found + [str(path) for path in self.outside.iterdir() if path.name != "secret"]

    @property
    def streams(self) -> tuple[str, ...]:
        keys = self.farm.keys
        return keys.status, keys.progress


def _holds(path: Path) -> bool:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return any(MARK in archive.read(name) for name in archive.namelist())
    return MARK in path.read_bytes()


def onnx_model(path: Path | str, **config: Any) -> dict[str, Any]:
    """The configuration of an ONNX model as Olive writes it."""
    return {"type": "ONNXModel", "config": {"model_path": str(path), **config}}
