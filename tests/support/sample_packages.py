"""Packages with sample code for a model, made by the real packager, as they lie after ``unzip``."""

from __future__ import annotations

import ast
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

from support import sample_models, wheels
from support.pouring import ENGINE, EngineStorage

from packhouse.schemas.checks import Verdict
from packhouse.schemas.files import MANIFEST, Manifest
from packhouse.worker.settings import Settings

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
REAL: Final = tuple(wheels.MODELS)
"""Real models. Few of them run with 1 for every dimension that they leave open."""
USUAL: Final = {
    "rapidocr-det": ("x", (1, 3, 320, 320)),
    "rapidocr-rec": ("x", (1, 3, 48, 320)),
    "rapidocr-cls": ("x", (1, 3, 48, 192)),
    "ddddocr": ("input1", (1, 1, 64, 192)),
}
"""Input and shape that such a model is used with, where it runs with less."""


class Packages:
    """Makes packages below a folder; each model is tried before, with a server's help."""

    def __init__(self, folder: Path, redis_url: str, namespace: str) -> None:
        root = folder / "storage"
        root.mkdir()
        settings = Settings(redis_url=redis_url, namespace=namespace, check_models="run")
        self._folder = folder
        self._engine = EngineStorage(root, settings=settings)

    def of(self, name: str) -> Path:
        """The package of a model of ``REAL`` or of ``sample_models.MADE``."""
        engine = self.place(f"{name}/net.onnx")
        if name in REAL:
            shutil.copyfile(wheels.model(name), engine)
        else:
            sample_models.write(name, engine)
        return self.made(name, onnx(engine, inference_settings=SETTINGS))

    def place(self, relative: str) -> Path:
        """Where a model of an engine may be written."""
        path = self._engine.root / "engine" / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def made(self, name: str, config: dict[str, Any]) -> Path:
        """The package of a model that an engine describes so, unpacked from its ZIP with ``unzip``."""
        described = {"type": config["type"], **config["config"]}
        archive, _ = self._engine.pour(self._engine.made_up(described, output_dir=f"{ENGINE}/out/{name}"))
        package = self._folder / "unpacked" / name
        package.mkdir(parents=True)
        subprocess.run(["unzip", "-q", str(archive), "-d", str(package)], check=True)
        return package


def onnx(path: Path, **config: Any) -> dict[str, Any]:
    """An ONNX model as an engine describes it."""
    return {"type": "ONNXModel", "config": {"model_path": str(path), **config}}


def verdict_of(package: Path) -> Verdict:
    """What trying the only candidate of an unpacked package has shown, as the package tells it."""
    [check] = Manifest.model_validate_json((package / MANIFEST).read_bytes()).checks
    return check.verdict


def shapes_of(package: Path, model: str = "model.onnx") -> dict[str, tuple[int, ...]]:
    """Shapes by input that the samples of an unpacked package take by themselves, as the Python sample tells them."""
    sample = ast.parse((package / "SampleCode" / "python" / "sample.py").read_text("utf-8"))
    [known] = [
        each.value
        for each in sample.body
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name) and each.target.id == "KNOWN_SHAPES"
    ]
    assert known is not None
    shapes: dict[str, tuple[int, ...]] = ast.literal_eval(known)[model]
    return shapes
