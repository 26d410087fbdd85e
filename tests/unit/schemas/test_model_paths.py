from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packhouse.schemas.genai import file_names, parse, renamed
from packhouse.schemas.modelpaths import PathRole, components, given_tensors, models_in, own_paths, replaced
from packhouse.schemas.paths import inside, relative_to

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["filename", "model", "decoder", "x"]), inner, max_size=4)
    ),
    max_leaves=20,
)


def test_a_config_names_its_paths_under_keys_made_for_them() -> None:
    config = {
        "model_path": {"type": "folder", "config": {"path": "/m"}},
        "adapter_path": "org/lora",
        "model_script": None,
        "script_dir": "/s",
        "inference_settings": {"model_path": "/no"},
        "model_attributes": {"additional_files": ["/a", 7, "b"], "_name_or_path": "/no"},
    }
    assert [(each.at, each.role, each.path, each.is_absolute) for each in own_paths(config)] == [
        (("model_path",), PathRole.MODEL, "/m", True),
        (("adapter_path",), PathRole.PART, "org/lora", False),
        (("script_dir",), PathRole.PART, "/s", True),
        (("model_attributes", "additional_files", 0), PathRole.ADDITIONAL, "/a", True),
        (("model_attributes", "additional_files", 2), PathRole.ADDITIONAL, "b", False),
    ]
    assert not list(own_paths({"model_path": {"type": "azureml_model", "config": {"path": "/m"}}}))


def test_components_take_their_names_from_where_olive_puts_them() -> None:
    listed = [{"type": "A", "config": {}, "name": "own"}, {"type": "B", "config": {}}, {"type": "C", "config": {}}]
    config = {"model_components": listed, "model_component_names": ["first", ""]}
    assert [each.name for each in components(config)] == ["first", "component_1", "component_2"]
    assert [each.name for each in components({"model_components": listed})] == ["own", "component_1", "component_2"]
    assert components({"model_path": "/m"}) == []
    for wrong in ([1], [{"type": "A"}], [{"config": {}}], [{}] * 1001):
        with pytest.raises(ValueError, match="model_components"):
            components({"model_components": wrong})


def test_every_model_of_a_composite_is_visited_with_the_place_of_its_config() -> None:
    leaf = {"type": "L", "config": {"model_path": "/l"}}
    config = {"model_components": [leaf, {"type": "C", "config": {"model_components": [leaf]}}]}
    at = [(each.type, each.at) for each in models_in("C", config)]
    one, two = ("model_components", 0, "config"), ("model_components", 1, "config")
    assert at == [("C", ()), ("L", one), ("C", two), ("L", (*two, *one))]
    for _ in range(10):
        config = {"model_components": [{"type": "C", "config": config}]}
    with pytest.raises(ValueError, match="nested"):
        list(models_in("C", config))


def test_values_are_replaced_and_added_where_they_belong_and_the_config_given_stays() -> None:
    config: dict[str, Any] = {"model_path": "/m", "parts": [{"a": 1}, {"a": 2}], "other": {"b": 3}}
    changed = replaced(config, {("model_path",): "m", ("parts", 1, "a"): 9, ("onnx_file_name",): "model.onnx"})
    assert changed == {
        "model_path": "m",
        "parts": [{"a": 1}, {"a": 9}],
        "other": {"b": 3},
        "onnx_file_name": "model.onnx",
    }
    assert config == {"model_path": "/m", "parts": [{"a": 1}, {"a": 2}], "other": {"b": 3}}


def test_tensors_are_given_only_where_a_file_of_them_is_named() -> None:
    listed = {"model_attributes": {"external_initializers": {"w": []}}}
    assert "w" not in given_tensors(listed)
    named = {"external_initializers_file_name": "w.npz"}
    assert "w" in given_tensors(named | listed)
    assert "v" not in given_tensors(named | listed)
    assert "v" in given_tensors(named)


@pytest.mark.parametrize(
    ("path", "folder", "relative"),
    [
        ("/a/b/c.onnx", "/a/b", "c.onnx"),
        ("/a/b/c/d", "/a/b/", "c/d"),
        ("/a/b", "/a/b", ""),
        ("/a/bc", "/a/b", None),
        ("/a/b/../c", "/a/b", None),
        ("C:\\Olive\\M\\x.bin", "c:/olive", "M/x.bin"),
        ("https://h/c/a%20b/x%25", "https://h/c", "a b/x%"),
        ("/h/c", "https://h", None),
    ],
)
def test_a_path_lies_below_a_folder_by_whole_components(path: str, folder: str, relative: str | None) -> None:
    assert relative_to(path, folder) == relative


@given(st.lists(st.text("abC-_ ü", min_size=1, max_size=4), min_size=1, max_size=4))
def test_what_lies_below_a_folder_is_inside_it(parts: list[str]) -> None:
    relative = relative_to("/srv/" + "/".join(parts), "/srv")
    assert relative is not None
    assert relative == "/".join(parts)
    assert inside(relative) == relative


@given(JSON)
def test_only_the_names_of_files_change_in_a_genai_config(config: Any) -> None:
    assert parse(renamed(config, lambda name: name)) == config
    again = parse(renamed(config, lambda name: f"{name}!"))
    assert file_names(again) == [f"{name}!" for name in file_names(config)]
    assert parse(renamed(again, lambda name: name.removesuffix("!"))) == config
