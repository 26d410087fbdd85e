"""Files for benchmarks to work on: generated, the same each time, with the entropy that real ones have."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

MIB = 1 << 20
BLOCK = 16 * MIB
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


def _filled(path: Path, mib: int, seed: int, block: Callable[[np.random.Generator], npt.NDArray[np.generic]]) -> Path:
    random = np.random.default_rng(seed)
    left = mib * MIB
    with path.open("wb") as file:
        while left:
            left -= file.write(block(random).tobytes()[:left])
        file.flush()
        os.fsync(file.fileno())
    return path
