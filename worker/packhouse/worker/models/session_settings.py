"""Which of a model's own inference settings a worker takes over when it tries the model.

Everything here is a list of what is let through. Nothing on it loads a library, reads or writes a file, is an address
in memory or reaches the network; a setting that an event names and that is not on it is left out, and named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from packhouse.schemas.files import InferenceConfig

CPU: Final = "CPUExecutionProvider"

_EXECUTION_MODES: Final = {"0": "ORT_SEQUENTIAL", "1": "ORT_PARALLEL"}
_OPTIMIZATIONS: Final = {
    "0": "ORT_DISABLE_ALL",
    "1": "ORT_ENABLE_BASIC",
    "2": "ORT_ENABLE_EXTENDED",
    "3": "ORT_ENABLE_LAYOUT",
    "99": "ORT_ENABLE_ALL",
}
_ENUMS: Final = {"execution_mode": _EXECUTION_MODES, "graph_optimization_level": _OPTIMIZATIONS}
_THREADS: Final = frozenset({"intra_op_num_threads", "inter_op_num_threads"})
_MOST_THREADS: Final = 4
_SWITCHES: Final = frozenset({"enable_cpu_mem_arena", "enable_mem_pattern", "enable_mem_reuse"})
_OF_NO_MATTER: Final = frozenset({"log_severity_level", "log_verbosity_level", "logid", "enable_profiling"})
"""Left out without a word: a model that loads without them loads with them."""

_EXTRA: Final = "extra_session_config"
_CONFIG: Final = frozenset({
    "session.disable_prepacking",
    "session.use_env_allocators",
    "session.use_device_allocator_for_initializers",
    "session.set_denormal_as_zero",
    "session.disable_quant_qdq",
    "session.disable_double_qdq_remover",
    "session.enable_quant_qdq_cleanup",
    "session.disable_aot_function_inlining",
    "session.disable_cpu_ep_fallback",
    "session.inter_op.allow_spinning",
    "session.intra_op.allow_spinning",
    "session.force_spinning_stop",
    "session.dynamic_block_base",
    "session.strict_shape_type_inference",
    "session.allow_released_opsets_only",
    "session.qdqisint8allowed",
    "session.x64quantprecision",
    "session.qdq_matmulnbits_accuracy_level",
    "optimization.enable_gelu_approximation",
    "optimization.enable_cast_chain_elimination",
    "mlas.enable_gemm_fastmath_arm64_bfloat16",
})  # fmt: skip

_PROVIDER: Final = re.compile(r"[A-Za-z0-9]{1,40}ExecutionProvider")
_MOST_PROVIDERS: Final = 8
_PROVIDER_OPTIONS: Final[dict[str, frozenset[str]]] = {
    CPU: frozenset({"use_arena"}),
    "CUDAExecutionProvider": frozenset({
        "device_id", "gpu_mem_limit", "arena_extend_strategy", "cudnn_conv_algo_search",
        "cudnn_conv_use_max_workspace", "cudnn_conv1d_pad_to_nc1d", "do_copy_in_default_stream", "use_tf32",
        "prefer_nhwc", "enable_cuda_graph", "enable_skip_layer_norm_strict_mode", "use_ep_level_unified_stream",
        "sdpa_kernel", "fuse_conv_bias",
    }),
    "TensorrtExecutionProvider": frozenset({
        "device_id", "trt_max_workspace_size", "trt_max_partition_iterations", "trt_min_subgraph_size",
        "trt_fp16_enable", "trt_bf16_enable", "trt_builder_optimization_level", "trt_context_memory_sharing_enable",
        "trt_layer_norm_fp32_fallback", "trt_build_heuristics_enable", "trt_sparsity_enable", "trt_auxiliary_streams",
        "trt_profile_min_shapes", "trt_profile_max_shapes", "trt_profile_opt_shapes", "trt_cuda_graph_enable",
    }),
    "NvTensorRTRTXExecutionProvider": frozenset({"device_id", "enable_cuda_graph", "nv_max_workspace_size"}),
    "ROCMExecutionProvider": frozenset({
        "device_id", "gpu_mem_limit", "arena_extend_strategy", "miopen_conv_use_max_workspace",
        "miopen_conv_exhaustive_search", "do_copy_in_default_stream", "enable_hip_graph",
    }),
    "MIGraphXExecutionProvider": frozenset({"device_id", "migraphx_fp16_enable", "migraphx_exhaustive_tune"}),
    "DmlExecutionProvider": frozenset({
        "device_id", "performance_preference", "device_filter", "disable_metacommands", "enable_graph_capture",
    }),
    "OpenVINOExecutionProvider": frozenset({
        "device_type", "device_id", "precision", "num_of_threads", "num_streams", "model_priority",
        "disable_dynamic_shapes", "enable_dynamic_shapes", "enable_opencl_throttling", "enable_qdq_optimizer",
        "reshape_input", "layout",
    }),
    "QNNExecutionProvider": frozenset({
        "backend_type", "device_id", "soc_model", "htp_arch", "htp_performance_mode", "vtcm_mb",
        "htp_graph_finalization_optimization_mode", "qnn_context_priority", "rpc_control_latency",
        "enable_htp_fp16_precision", "offload_graph_io_quantization", "enable_htp_spill_fill_buffer",
    }),
    "CoreMLExecutionProvider": frozenset({
        "ModelFormat", "MLComputeUnits", "RequireStaticInputShapes", "EnableOnSubgraphs",
        "AllowLowPrecisionAccumulationOnGPU",
    }),
    "XnnpackExecutionProvider": frozenset({"intra_op_num_threads"}),
    "DnnlExecutionProvider": frozenset({"use_arena"}),
}  # fmt: skip

_VALUE: Final = re.compile(r"[A-Za-z0-9_.,:;+()\[\] -]{0,400}")
"""No slash, no backslash: nothing that could be a path in a folder."""
_LARGEST: Final = 1 << 64
_LONGEST_NAME: Final = 60
_MOST_DROPPED: Final = 20


@dataclass(frozen=True)
class SessionSettings:
    """Settings that a worker opens a session with."""

    session: Mapping[str, str | int | bool]
    """Properties of ``SessionOptions``; members of enums by name."""
    config: Mapping[str, str]
    """Entries for ``add_session_config_entry``."""
    providers: tuple[tuple[str, Mapping[str, str]], ...]
    """Execution providers with their options, the preferred first."""
    dropped: tuple[str, ...]
    """Names of what was left out though it may matter, at most a few of them."""


def allowed(inference: InferenceConfig) -> SessionSettings:
    """What of a model's inference settings may be taken over.

    Nulls mean nothing; numbers, words and truth values are understood in whichever form an engine wrote them.
    """
    dropped: list[str] = []
    session: dict[str, str | int | bool] = {}
    config: dict[str, str] = {}
    for name, value in inference.session_options.items():
        if value is None or name in _OF_NO_MATTER:
            continue
        if name == _EXTRA and isinstance(value, dict):
            _take_config(value, config, dropped)
            continue
        taken = _session_value(name, value)
        if taken is None:
            dropped.append(name)
        else:
            session[name] = taken
    providers = tuple(_providers(inference, dropped))
    told = [name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME] + "…" for name in dropped]
    return SessionSettings(session, config, providers, tuple(dict.fromkeys(told[:_MOST_DROPPED])))


def _take_config(given: Mapping[str, Any], config: dict[str, str], dropped: list[str]) -> None:
    for name, value in given.items():
        if value is None:
            continue
        text = _text(value)
        if name in _CONFIG and text is not None:
            config[name] = text
        else:
            dropped.append(name)


def _session_value(name: str, value: Any) -> str | int | bool | None:
    if name in _ENUMS:
        members = _ENUMS[name]
        text = str(value).rpartition(".")[2].upper() if isinstance(value, str) else str(value)
        text = members.get(text, text)
        text = text if text.startswith("ORT_") else f"ORT_{text}"
        return text if text in members.values() else None
    whole = _whole(value)
    if name in _THREADS:
        return max(1, min(whole, _MOST_THREADS)) if whole is not None else None
    if name in _SWITCHES:
        return bool(whole) if whole in (0, 1) else None
    return None


def _whole(value: Any) -> int | None:
    if isinstance(value, str):
        value = {"true": 1, "false": 0}.get(value[:_LONGEST_NAME].lower(), value[:_LONGEST_NAME])
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _text(value: Any) -> str | None:
    """As ONNX Runtime takes it; None for what is no simple value."""
    if isinstance(value, bool):
        return str(int(value))
    if not isinstance(value, str | int | float) or (isinstance(value, int) and abs(value) > _LARGEST):
        return None
    text = str(value)
    return text if _VALUE.fullmatch(text) else None


def _providers(inference: InferenceConfig, dropped: list[str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    seen: set[str] = set()
    for name, options in inference.execution_provider:
        if not _PROVIDER.fullmatch(name) or len(seen) == _MOST_PROVIDERS:
            dropped.append(name)
            continue
        if name in seen:
            continue
        seen.add(name)
        own = _PROVIDER_OPTIONS.get(name, frozenset[str]())
        taken: dict[str, str] = {}
        for option, value in options.items():
            text = _text(value)
            if option in own and text is not None:
                taken[option] = text
            elif value is not None:
                dropped.append(option)
        yield name, taken
