"""Which packages hold which execution provider: the only place that names of runtime packages come from.

Sources: ONNX Runtime's pages on its builds and on execution providers, and the metadata of its packages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

CPU_BUILD: Final = "onnxruntime"
EXTENSIONS: Final = "onnxruntime-extensions"

_GPU: Final = "onnxruntime-gpu"
_DIRECTML: Final = "onnxruntime-directml"
_OPENVINO: Final = "onnxruntime-openvino"
_QNN: Final = "onnxruntime-qnn"
_ROCM: Final = "onnxruntime-rocm"
_MIGRAPHX: Final = "onnxruntime-migraphx"

EVERY_BUILD: Final = (
    CPU_BUILD, _GPU, _DIRECTML, _OPENVINO, _QNN, _MIGRAPHX, _ROCM,
    "onnxruntime-cann", "onnxruntime-vitisai", "onnxruntime-webgpu",
)  # fmt: skip
"""PyPI distributions of ONNX Runtime. Each has the CPU's provider; of two in one environment, one breaks the other."""

BUILDS: Final[Mapping[str, tuple[str, ...]]] = {
    "CPUExecutionProvider": EVERY_BUILD,
    "CUDAExecutionProvider": (_GPU,),
    "TensorrtExecutionProvider": (_GPU,),
    "DmlExecutionProvider": (_DIRECTML,),
    "OpenVINOExecutionProvider": (_OPENVINO,),
    "QNNExecutionProvider": (_QNN,),
    "ROCMExecutionProvider": (_ROCM,),
    "MIGraphXExecutionProvider": (_MIGRAPHX, _ROCM),
    "CANNExecutionProvider": ("onnxruntime-cann",),
    "VitisAIExecutionProvider": ("onnxruntime-vitisai",),
    "WebGpuExecutionProvider": ("onnxruntime-webgpu",),
    "AzureExecutionProvider": (CPU_BUILD,),
    "CoreMLExecutionProvider": (CPU_BUILD,),
    "XnnpackExecutionProvider": (CPU_BUILD,),
}
"""Execution provider to the distributions that have it, the plainest first."""

GENERATIVE: Final[Mapping[str, str]] = {
    CPU_BUILD: "onnxruntime-genai",
    _GPU: "onnxruntime-genai-cuda",
    _DIRECTML: "onnxruntime-genai-directml",
}
"""Build to the distribution for generative models that runs on it."""

NUGET: Final[Mapping[str, str]] = {
    CPU_BUILD: "Microsoft.ML.OnnxRuntime",
    _GPU: "Microsoft.ML.OnnxRuntime.Gpu",
    _DIRECTML: "Microsoft.ML.OnnxRuntime.DirectML",
    _OPENVINO: "Intel.ML.OnnxRuntime.OpenVino",
    _QNN: "Microsoft.ML.OnnxRuntime.QNN",
    "onnxruntime-genai": "Microsoft.ML.OnnxRuntimeGenAI",
    "onnxruntime-genai-cuda": "Microsoft.ML.OnnxRuntimeGenAI.Cuda",
    "onnxruntime-genai-directml": "Microsoft.ML.OnnxRuntimeGenAI.DirectML",
    EXTENSIONS: "Microsoft.ML.OnnxRuntime.Extensions",
}
"""PyPI distribution to the NuGet package of the same source and version."""

NUGET_PARTS: Final = frozenset({
    *NUGET.values(),
    "Microsoft.ML.OnnxRuntime.Managed",
    "Microsoft.ML.OnnxRuntime.Gpu.Linux",
    "Microsoft.ML.OnnxRuntime.Gpu.Windows",
    "Microsoft.ML.OnnxRuntimeGenAI.Managed",
    "Microsoft.AI.DirectML",
})  # fmt: skip
"""NuGet packages without which another one of these does not work: they come along whenever one depends on them."""

ALSO_NEEDED: Final[Mapping[str, tuple[tuple[str, str], ...]]] = dict.fromkeys(EVERY_BUILD, (("1.19", "numpy<2"),))
"""Distribution to pairs: below that version it needs this too, though older metadata does not say so.

ONNX Runtime was built for numpy 1 up to 1.18, and cannot be imported beside numpy 2.
"""
