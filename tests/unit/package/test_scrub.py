from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packhouse.worker.package.scrub import Scrubber, holds_graph_names

ENGINE = Scrubber(
    ["/srv/olive", "/srv/olive/cache/run", "C:\\Olive\\Work", "\\\\nas\\share\\olive", "/data", "/home/me/my models"]
)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("/srv/olive", "<engine>"),
        ("/srv/olive/", "<engine>/"),
        ("/srv/olive/user_script.py", "<engine>/user_script.py"),
        ("/srv/olive/cache/run/model.onnx", "<engine>/model.onnx"),
        ("/srv/olive/cache/runs/model.onnx", "<engine>/cache/runs/model.onnx"),
        ("/srv//olive/x/./y", "<engine>/x/./y"), ("/srv/./olive", "<engine>"),
        ("../../srv/olive/x", "../..<engine>/x"),
        ("file:///srv/olive/x", "file://<engine>/x"),
        ("file://localhost/srv/olive/x", "file://localhost<engine>/x"),
        ("gcc -I/srv/olive --out=/srv/olive/o '/srv/olive/a b'", "gcc -I<engine> --out=<engine>/o '<engine>/a b'"),
        ("/srv/olive:/srv/olive/lib", "<engine>:<engine>/lib"),
        ("Wrote to /srv/olive.", "Wrote to <engine>."),
        ('{"path": "/srv/olive/x"}', '{"path": "<engine>/x"}'),
        ("/home/me/my models/a", "<engine>/a"),
        ("file:///home/me/my%20models/a", "file://<engine>/a"),
        ("C:\\Olive\\Work\\a.py", "<engine>\\a.py"),
        ("c:/olive/WORK/a.py", "<engine>/a.py"),
        ('{"path": "C:\\\\Olive\\\\Work\\\\a.py"}', '{"path": "<engine>\\\\a.py"}'),
        ("\\\\?\\C:\\Olive\\Work\\x", "\\\\?\\<engine>\\x"),
        ("\\\\NAS\\share\\olive\\x", "<engine>\\x"),
        ("//nas/share/olive/x", "<engine>/x"),
    ],
)  # fmt: skip
def test_a_directory_of_the_engine_is_replaced_wherever_a_path_begins(text: str, clean: str) -> None:
    assert ENGINE.text(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        "/srv/olive2/x", "/srv/olive-old", "/srv/olive.bak/x", "/srv", "srv/olive/x", "/mnt/srv/olive/x",
        "models/data/x", "a//srv/olive", "/srv/Olive", "C:\\Olive\\Workshop", "D:\\Olive\\Work", "https://data/x",
        "/database", "CPUExecutionProvider", "", "<engine>/data/x", "nas/share/olive",
    ],
)  # fmt: skip
def test_what_only_resembles_a_directory_of_the_engine_is_left_alone(text: str) -> None:
    assert ENGINE.text(text) == text


def test_names_of_the_graph_are_left_alone_even_where_a_directory_has_the_same_name() -> None:
    names = ["/model/layers.0/MatMul", "/model"]
    value = {
        "nodes_to_exclude": names,
        "op_block_list": names,
        "io_config": {"input_names": names, "dynamic_axes": {"/model/input": {"0": "batch"}}},
        "extra_options": {"TensorQuantOverrides": {"/model/MatMul_output_0": [{"scale": 1.0}]}},
    }
    assert Scrubber(["/model"]).json(value) == value
    assert Scrubber(["/model"]).json({"user_script": "/model/a.py", "other": names}) == {
        "user_script": "<engine>/a.py",
        "other": ["<engine>/layers.0/MatMul", "<engine>"],
    }


@pytest.mark.parametrize(
    ("key", "names"),
    [
        ("nodes_to_quantize", True), ("nodes_to_exclude", True), ("node_block_list", True), ("op_block_list", True),
        ("op_types_to_quantize", True), ("OpTypesToExcludeOutputQuantization", True), ("output_names", True),
        ("modules_to_not_convert", True), ("file_names", False), ("onnx_file_name", False), ("model_name", False),
        ("user_script", False), ("execution_mode_list", False), ("providers_list", False),
    ],
)  # fmt: skip
def test_keys_that_hold_names_of_the_graph_are_known(key: str, names: bool) -> None:
    assert holds_graph_names(key) is names


def test_keys_are_scrubbed_and_none_is_lost() -> None:
    value = {"/srv/olive/a": 1, "/srv/olive/cache/run/a": 2, "b": {"/data/x": [True, None, 1.5]}}
    assert ENGINE.json(value) == {"<engine>/a": 1, "<engine>/a#2": 2, "b": {"<engine>/x": [True, None, 1.5]}}


def test_without_directories_nothing_changes() -> None:
    assert Scrubber([]).json({"a": ["/srv/olive"]}) == {"a": ["/srv/olive"]}
    assert Scrubber(["/"]).text("/srv/olive /") == "/srv/olive /"


names = st.text("abc.-_ é", min_size=1, max_size=5).filter(lambda name: name.strip(". ") == name)
directories = st.lists(st.lists(names, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts)), min_size=1)
texts = st.text("/abc.-_ é:='\"", max_size=30)


@given(directories, texts)
def test_scrubbing_twice_is_scrubbing_once(engine: list[str], text: str) -> None:
    scrub = Scrubber(engine)
    assert scrub.text(scrub.text(text)) == scrub.text(text)


@given(directories, st.lists(texts.map(lambda text: text.replace("/", "")), max_size=3))
def test_a_text_without_separators_never_changes(engine: list[str], texts: list[str]) -> None:
    assert Scrubber(engine).json(texts) == texts


@given(directories, st.data())
def test_no_directory_survives_in_paths_outside_names_of_the_graph(engine: list[str], data: st.DataObject) -> None:
    tails = st.lists(names, max_size=2).map(lambda parts: "".join("/" + part for part in parts))
    paths = st.builds("{}{}".format, st.sampled_from(engine), tails)
    leads = st.sampled_from(["", "--out=", "see ", "file://", "'", "a:", "-I"])
    strings = st.builds("{}{}".format, leads, paths)
    values = st.recursive(
        strings, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(strings, inner, max_size=3), max_leaves=6
    )
    scrubbed = Scrubber(engine).json(data.draw(values))
    for text in _strings(scrubbed):
        assert "<engine>" in text
        assert not any(text.startswith(directory + "/") or text == directory for directory in engine)


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for item in value for text in _strings(item)]
    return [text for key, item in value.items() for text in [key, *_strings(item)]]


def test_long_texts_are_read_in_linear_time() -> None:
    for text in ("/srv/olive " * 20_000, "/" * 200_000, "/." * 100_000, "/srv" * 50_000):
        assert len(ENGINE.text(text)) > 0
    assert "/srv/olive" not in json.dumps(ENGINE.json({"x": "/srv/olive " * 20_000}))
