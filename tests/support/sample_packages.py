"""Packages with sample code for a model, as they lie after ``unzip``."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any, Final

from support import sample_models, wheels
from support.models import ROOT, packed

from packhouse.schemas.footprint import ModelConfig
from packhouse.worker.models.signature_reader import read_signature
from packhouse.worker.models.source import ModelSource, find
from packhouse.worker.samples.code import sample_code
from packhouse.worker.samples.model import SampleGraph, SampleModel
from packhouse.worker.storage.local import Roots
from packhouse.worker.storage.location import Location
from packhouse.worker.storage.storage import Storage

SETTINGS: Final[dict[str, Any]] = {
    "execution_provider": [["CPUExecutionProvider", {}]],
    "session_options": {
        "execution_mode": 0,
        "graph_optimization_level": 99,
        "extra_session_config": {"session.intra_op.allow_spinning": "0"},
        "inter_op_num_threads": None,
        "intra_op_num_threads": 1,
    },
}
REAL: Final[dict[str, dict[str, tuple[int, ...]]]] = {
    "silero-vad": {"input": (1, 256), "state": (2, 1, 128), "sr": ()},
    "magika": {"bytes": (1, 2048)},
    "rapidocr-det": {"x": (1, 3, 64, 64)},
    "rapidocr-rec": {"x": (1, 3, 48, 64)},
    "rapidocr-cls": {"x": (1, 3, 48, 192)},
    "ddddocr": {"input1": (1, 1, 64, 64)},
    "mtcnn-pnet": {"input_1": (1, 24, 24, 3)},
}
"""Real models of ``wheels.MODELS``, and shapes that they run with: 1 for every open dimension does for few of them."""


class Packages:
    """Makes packages below a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._storage = Storage(Roots([str(folder)]))

    def of(self, name: str) -> Path:
        """The package of a model of ``REAL`` or of ``sample_models.MADE``."""
        engine = self.place(f"{name}/net.onnx")
        if name in REAL:
            shutil.copyfile(wheels.model(name), engine)
        else:
            sample_models.write(name, engine)
        return self.made(name, onnx(engine, inference_settings=SETTINGS), REAL.get(name, {}))

    def place(self, relative: str) -> Path:
        """Where a model of an engine may be written."""
        path = self._folder / "engine" / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def made(self, name: str, config: dict[str, Any], shapes: dict[str, tuple[int, ...]]) -> Path:
        """The package of a model that an engine describes so, unpacked from a ZIP with ``unzip``."""
        whole, package = self._folder / "whole" / name, self._folder / "unpacked" / name
        model, sources = ModelConfig.model_validate(config), list[ModelSource]()
        packed(model, lambda each: sources.append(find(each, _locate, self._storage)) or sources[-1], whole)
        graphs = tuple(self._graph(whole, main.main, shapes) for main in sources[0].onnx_models)
        best = SampleModel(ROOT, model.type, graphs, ("CPUExecutionProvider",), generative=sources[0].generative)
        archive = self._folder / f"{name}.zip"
        with zipfile.ZipFile(archive, "w") as writing:
            for file in sorted(path for path in whole.rglob("*") if path.is_file()):
                writing.write(file, file.relative_to(whole))
            for path, made in sample_code(best).items():
                writing.writestr(path, made.data)
        package.mkdir(parents=True)
        subprocess.run(["unzip", "-q", str(archive), "-d", str(package)], check=True)
        return package

    def _graph(self, whole: Path, file: str, shapes: dict[str, tuple[int, ...]]) -> SampleGraph:
        path = f"{whole / ROOT}/{file}"
        with self._storage.open_file(Location(path, path)) as source:
            return SampleGraph(file, read_signature(source, shown=file), shapes)


def onnx(path: Path, **config: Any) -> dict[str, Any]:
    """An ONNX model as an engine describes it."""
    return {"type": "ONNXModel", "config": {"model_path": str(path), **config}}


def _locate(path: str) -> Location:
    return Location(path, path)
