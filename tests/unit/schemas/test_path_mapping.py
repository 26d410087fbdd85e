from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.paths import PathMap, PathRule, components

names = st.text("abcXYZ019._-", min_size=1, max_size=4).filter(lambda name: name not in {".", ".."})
posix_paths = st.lists(names, min_size=1, max_size=5).map(lambda parts: "/" + "/".join(parts))


@pytest.mark.parametrize(
    ("path", "mapped"),
    [
        ("/srv/olive/cache/m.onnx", "/mnt/olive/cache/m.onnx"),
        ("/srv/olive", "/mnt/olive"),
        ("/srv/olive/", "/mnt/olive"),
        ("/srv/olive//cache", "/mnt/olive/cache"),
        ("/srv/olive-2/cache", "/srv/olive-2/cache"),
        ("/srv/oliv", "/srv/oliv"),
        ("/srv", "/srv"),
        ("/SRV/olive/cache", "/SRV/olive/cache"),
    ],
)
def test_a_prefix_counts_by_whole_components(path: str, mapped: str) -> None:
    assert PathMap.parse(["/srv/olive=/mnt/olive"])(path) == mapped


@pytest.mark.parametrize("order", [1, -1])
def test_the_longest_prefix_wins_in_whatever_order_the_rules_come(order: int) -> None:
    mapping = PathMap.parse(["/srv=/a", "/srv/olive/cache=/b", "/srv/olive=/c"][::order])
    assert mapping("/srv/olive/cache/x") == "/b/x"
    assert mapping("/srv/olive/other/x") == "/c/other/x"
    assert mapping("/srv/x") == "/a/x"


@pytest.mark.parametrize("path", ["C:\\Olive\\cache\\m.onnx", "c:/olive/Cache/m.onnx", "C:\\\\OLIVE\\cache/m.onnx"])
def test_a_windows_path_matches_whatever_its_letter_case_and_slashes(path: str) -> None:
    mapped = PathMap.parse(["C:\\olive=/mnt/olive"])(path)
    assert mapped.lower() == "/mnt/olive/cache/m.onnx"
    assert mapped.endswith("m.onnx")


def test_a_share_is_a_prefix_too() -> None:
    assert PathMap.parse(["\\\\farm\\out=/mnt/out"])("\\\\FARM\\out\\run 1\\m.onnx") == "/mnt/out/run 1/m.onnx"


def test_a_path_can_be_mapped_onto_a_windows_machine() -> None:
    assert PathMap.parse(["/srv/olive=D:\\olive"])("/srv/olive/cache/m.onnx") == "D:\\olive\\cache\\m.onnx"


def test_the_root_can_be_a_prefix() -> None:
    assert PathMap.parse(["/=/mnt/engine"])("/srv/m.onnx") == "/mnt/engine/srv/m.onnx"
    assert PathMap.parse(["/mnt/engine=/"])("/mnt/engine") == "/"


def test_the_address_of_a_blob_is_not_taken_for_a_path() -> None:
    mapping = PathMap.parse(["/account=/mnt"])
    assert mapping("https://account/container/m.onnx") == "https://account/container/m.onnx"


@given(posix_paths, posix_paths, posix_paths)
def test_what_a_rule_changes_lies_below_its_target_with_the_same_rest(origin: str, target: str, rest: str) -> None:
    rule = PathRule(origin, target)
    mapped = PathMap((rule,))(origin + rest)
    assert components(mapped) == components(target) + components(rest)


@given(posix_paths, posix_paths, posix_paths)
def test_a_path_that_was_changed_comes_back_by_the_reversed_map(origin: str, target: str, rest: str) -> None:
    mapping = PathMap((PathRule(origin, target),))
    assert mapping.reversed()(mapping(origin + rest)) == origin + rest


@given(posix_paths)
def test_without_rules_nothing_changes(path: str) -> None:
    assert PathMap()(path) == path


@pytest.mark.parametrize("text", ["", "/srv/olive", "srv=/mnt", "/srv=mnt", "=/mnt", "/srv=", "~/a=/b"])
def test_what_is_no_mapping_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(PermanentError) as caught:
        PathMap.parse([text])
    assert caught.value.code is ErrorCode.CONFIGURATION_INVALID
    assert "FROM=TO" in caught.value.fix


def test_a_path_that_is_mapped_to_blobs_is_encoded() -> None:
    rule = PathRule.parse("/srv/olive=https://acct1.blob.core.windows.net/models/in")
    assert rule.apply("/srv/olive/a b/50%.onnx") == "https://acct1.blob.core.windows.net/models/in/a%20b/50%25.onnx"
