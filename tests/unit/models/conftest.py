from __future__ import annotations

from pathlib import Path

import pytest
from onnx import TensorProto, helper

from packhouse.schemas.footprint import ModelConfig
from packhouse.worker.models.source import ModelSource, find
from packhouse.worker.storage.local import Roots
from packhouse.worker.storage.location import Location
from packhouse.worker.storage.storage import Storage as WorkerStorage


class Storage:
    """A storage root that the engine calls ``/engine``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.storage = WorkerStorage(Roots([str(root)]))

    def locate(self, path: str) -> Location:
        """Where the worker has a path of the engine."""
        if path.startswith("/engine"):
            return Location(str(self.root) + path.removeprefix("/engine"), path)
        return Location(path, path)

    def put(self, relative: str, data: bytes = b"data") -> Path:
        """Make a file below the root."""
        path = self.root / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def put_onnx(self, relative: str, *external: tuple[str, int, int | None]) -> Path:
        """Make a model whose tensors lie at (location, offset, length)."""
        tensors: list[TensorProto] = []
        for number, (location, offset, length) in enumerate(external):
            tensor = TensorProto(
                name=f"w{number}", data_type=TensorProto.UINT8, dims=[length or 1], data_location=TensorProto.EXTERNAL
            )
            entries = {"location": location, "offset": str(offset)}
            for key, value in (entries | ({} if length is None else {"length": str(length)})).items():
                tensor.external_data.add(key=key, value=value)
            tensors.append(tensor)
        graph = helper.make_graph([], "g", [], [], initializer=tensors)
        return self.put(relative, helper.make_model(graph).SerializeToString())

    def find(self, model_path: object, kind: str = "ONNXModel", **config: object) -> ModelSource:
        """The files of a model that the engine describes so."""
        model = ModelConfig.model_validate({"type": kind, "config": {"model_path": model_path, **config}})
        return find(model, self.locate, self.storage)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    root = tmp_path / "root"
    root.mkdir()
    return Storage(root)
