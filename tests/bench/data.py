"""Files for benchmarks to work on: generated, the same each time, with the entropy that real ones have."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

MIB = 1 << 20
BLOCK = 16 * MIB
DISTINCT = 4
"""Blocks of a file that differ; then they come again, farther apart than any deflate looks back."""
SIGMA = 0.02
"""Standard deviation of a layer's weights, roughly."""


def float32(path: Path, mib: int, seed: int = 1) -> Path:
    """Weights as training leaves them: normally distributed. Deflate saves about 8 %."""
    return _filled(path, mib, seed, lambda random: random.standard_normal(BLOCK // 4, dtype=np.float32) * SIGMA)


def int8(path: Path, mib: int, seed: int = 1) -> Path:
    """The same weights quantised per tensor. Deflate saves about 10 %."""

    def block(random: np.random.Generator) -> npt.NDArray[np.int8]:
        return np.clip(random.standard_normal(BLOCK, dtype=np.float32) * 32, -127, 127).astype(np.int8)

    return _filled(path, mib, seed, block)


def int4(path: Path, mib: int, seed: int = 1) -> Path:
    """Weights quantised to few levels, a byte each. Deflate saves about half."""

    def block(random: np.random.Generator) -> npt.NDArray[np.int8]:
        return np.clip(random.standard_normal(BLOCK, dtype=np.float32) * 2.5, -8, 7).astype(np.int8)

    return _filled(path, mib, seed, block)


def _filled(path: Path, mib: int, seed: int, block: Callable[[np.random.Generator], npt.NDArray[np.generic]]) -> Path:
    random = np.random.default_rng(seed)
    left = mib * MIB
    blocks = [block(random).tobytes() for _ in range(min(DISTINCT, -(-mib * MIB // BLOCK)))]
    with path.open("wb") as file:
        for part in itertools.cycle(blocks):
            left -= file.write(part[:left])
            if not left:
                break
        file.flush()
        os.fsync(file.fileno())
    return path


def onnx_models(folder: Path, count: int, mib: int, weights: Callable[[Path, int, int], Path] = float32) -> list[Path]:
    """So many ONNX models of so many MiB each, their weights inside."""
    models: list[Path] = []
    for number in range(count):
        raw = weights(folder / f"{number}.bin", mib, number)
        tensor = TensorProto(name="w", data_type=TensorProto.UINT8, dims=[mib * MIB]).SerializeToString()
        tensor += b"\x4a" + _varint(mib * MIB)
        graph = b"\x2a" + _varint(len(tensor) + mib * MIB) + tensor
        model = folder / f"{number}.onnx"
        with model.open("wb") as out, raw.open("rb") as source:
            out.write(b"\x08\x08\x3a" + _varint(len(graph) + mib * MIB) + graph)
            shutil.copyfileobj(source, out, MIB)
            out.flush()
            os.fsync(out.fileno())
        raw.unlink()
        models.append(model)
    return models


def with_external_data(model: Path, *weights: Path) -> Path:
    """An ONNX model whose tensors are files beside it, a tensor each."""
    tensors: list[TensorProto] = []
    for number, file in enumerate(weights):
        size = file.stat().st_size
        tensor = TensorProto(name=f"w{number}", data_type=TensorProto.UINT8, dims=[size])
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=file.name)
        tensor.external_data.add(key="length", value=str(size))
        tensors.append(tensor)
    graph = helper.make_graph([], model.stem, [], [], tensors)
    onnx.save(helper.make_model(graph), model)
    return model


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
