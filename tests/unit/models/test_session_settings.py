from __future__ import annotations

import json
from typing import Any

import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packhouse.schemas.files import InferenceConfig
from packhouse.worker.models.session_settings import SessionSettings, allowed

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"


def of(session: dict[str, Any] | None = None, *providers: tuple[str, dict[str, Any]]) -> SessionSettings:
    return allowed(InferenceConfig(execution_provider=list(providers), session_options=session or {}))


@pytest.mark.parametrize("level", [99, "99", "ORT_ENABLE_ALL", "GraphOptimizationLevel.ORT_ENABLE_ALL", "enable_all"])
def test_an_optimization_level_is_understood_in_every_form(level: Any) -> None:
    assert of({"graph_optimization_level": level}).session == {"graph_optimization_level": "ORT_ENABLE_ALL"}


@pytest.mark.parametrize(
    ("mode", "name"), [(0, "ORT_SEQUENTIAL"), (1, "ORT_PARALLEL"), ("ORT_PARALLEL", "ORT_PARALLEL")]
)
def test_an_execution_mode_is_understood_in_every_form(mode: Any, name: str) -> None:
    assert of({"execution_mode": mode}).session == {"execution_mode": name}


def test_every_name_that_is_taken_over_is_one_of_onnx_runtime() -> None:
    for number in (0, 1, 2, 3, 99):
        name = of({"graph_optimization_level": number}).session["graph_optimization_level"]
        assert int(getattr(onnxruntime.GraphOptimizationLevel, str(name))) == number


def test_nulls_mean_nothing_and_switches_may_be_numbers_or_words() -> None:
    options = {
        "graph_optimization_level": None,
        "enable_cpu_mem_arena": "false",
        "enable_mem_pattern": 1,
        "enable_mem_reuse": True,
        "extra_session_config": {"session.set_denormal_as_zero": 1, "session.use_env_allocators": None},
    }
    settings = of(options, (CPU, {"use_arena": None}))
    assert settings.session == {"enable_cpu_mem_arena": False, "enable_mem_pattern": True, "enable_mem_reuse": True}
    assert settings.config == {"session.set_denormal_as_zero": "1"}
    assert settings.providers == ((CPU, {}),)
    assert settings.dropped == ()


@pytest.mark.parametrize(("threads", "taken"), [(0, 1), (1, 1), (3, 3), (10_000, 4), ("2", 2)])
def test_threads_are_bounded(threads: Any, taken: int) -> None:
    assert of({"intra_op_num_threads": threads}).session == {"intra_op_num_threads": taken}


@pytest.mark.parametrize(
    "name",
    [
        "optimized_model_filepath", "profile_file_prefix", "register_custom_ops_library", "custom_op_library",
        "add_provider", "execution_order", "use_per_session_threads",
    ],
)  # fmt: skip
def test_session_options_that_reach_a_file_or_a_library_are_left_out_and_named(name: str) -> None:
    settings = of({name: "/tmp/x.so"})
    assert settings.session == settings.config == {}
    assert settings.dropped == (name,)


@pytest.mark.parametrize(
    "name",
    [
        "session.optimized_model_external_initializers_file_name", "session.collect_node_memory_stats_to_file",
        "session.model_external_initializers_file_folder_path", "ep.context_file_path", "ep.context_enable",
        "session.save_model_format", "session.debug_layout_transformation", "session.intra_op_thread_affinities",
    ],
)  # fmt: skip
def test_config_entries_that_reach_a_file_are_left_out_and_named(name: str) -> None:
    settings = of({"extra_session_config": {name: "1"}})
    assert settings.config == {}
    assert settings.dropped == (name,)


@pytest.mark.parametrize(
    ("provider", "option"),
    [
        (CUDA, "user_compute_stream"), (CUDA, "gpu_external_alloc"), (CUDA, "tunable_op_tuning_result_file"),
        ("TensorrtExecutionProvider", "trt_engine_cache_path"),
        ("TensorrtExecutionProvider", "trt_extra_plugin_lib_paths"),
        ("OpenVINOExecutionProvider", "cache_dir"), ("OpenVINOExecutionProvider", "load_config"),
        ("QNNExecutionProvider", "backend_path"), ("QNNExecutionProvider", "profiling_file_path"),
        ("CoreMLExecutionProvider", "ModelCacheDirectory"), ("VitisAIExecutionProvider", "config_file"),
        (CPU, "shared_lib_path"), (CUDA, "__proto__"),
    ],
)  # fmt: skip
def test_provider_options_that_are_paths_libraries_or_addresses_are_left_out_and_named(
    provider: str, option: str
) -> None:
    settings = of({}, (provider, {option: "1"}))
    assert settings.providers == ((provider, {}),)
    assert settings.dropped == (option,)


@pytest.mark.parametrize("value", ["/lib/evil.so", "a\\b", "a\nb", "x" * 401, [1], {"a": 1}, 10**1000])
def test_values_that_may_be_paths_or_are_no_simple_values_are_left_out(value: Any) -> None:
    settings = of({}, (CUDA, {"gpu_mem_limit": value, "device_id": 0, "use_tf32": False}))
    assert settings.providers == ((CUDA, {"device_id": "0", "use_tf32": "0"}),)
    assert settings.dropped == ("gpu_mem_limit",)


def test_a_provider_that_is_none_is_left_out_whatever_its_length() -> None:
    settings = of({}, ("x" * 1_000_000, {}), (CPU, {}), ("../lib.so", {}))
    assert settings.providers == ((CPU, {}),)
    assert sum(map(len, settings.dropped)) < 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
NAMES = st.text() | st.sampled_from([
    "execution_mode", "graph_optimization_level", "intra_op_num_threads", "enable_mem_pattern", "extra_session_config",
])  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(st.dictionaries(NAMES, JSON), st.lists(st.tuples(st.text() | st.just(CUDA), st.dictionaries(st.text(), JSON))))
def test_whatever_an_event_says_what_comes_of_it_is_small_and_plain(
    session: dict[str, Any], providers: list[tuple[str, dict[str, Any]]]
) -> None:
    taken = of(session, *providers)
    assert len(json.dumps([taken.session, taken.config, taken.providers, taken.dropped])) < 20_000
    assert all("/" not in text for _, options in taken.providers for text in options.values())
