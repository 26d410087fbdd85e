from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.worker.package.tree import Made, PackageTree, clashes, unsafe

UNSAFE = [
    "", "/etc/passwd", "../x", "a/../x", "a/..", "a/./b", ".", "a//b", "a/", "a\\b", "C:/x", "c:x",
    "a\nb", "a\x00b", "a\x7fb", "x" * 256, "a/" + "é" * 128, "/".join(["abcdefghi"] * 110), "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("path", UNSAFE)
def test_an_unsafe_path_is_refused(path: str) -> None:
    with pytest.raises(PermanentError) as caught:
        PackageTree().add(path, Made(b""))
    assert caught.value.code is ErrorCode.LAYOUT_CONFLICT


@pytest.mark.parametrize("path", ["model.onnx", "..data", "a/b..c", ".hidden", "weights/x:0.bin", "modèle.onnx"])
def test_an_ordinary_path_is_taken(path: str) -> None:
    assert list(PackageTree({path: Made(b"")})) == [path]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a/model.onnx", "a/model.onnx"),
        ("a/model.onnx", "A/Model.ONNX"),
        ("a/é", "a/é"),
        ("a", "a/b"),
        ("a/b", "A"),
        ("a/b/c", "a/B"),
        ("a/x", "a/x. "),
        ("a/x:0.bin", "a/x_0.bin"),
        ("a/\u1e9b\u0323", "a/\u1e68"),
    ],
)
def test_two_entries_that_cannot_lie_side_by_side_are_refused(first: str, second: str) -> None:
    tree = PackageTree({first: Made(b"1")})
    with pytest.raises(PermanentError, match="cannot both be"):
        tree.add(second, Made(b"2"))


@given(st.lists(st.text("aA/. :_\u00e9\u0301e", min_size=1, max_size=6), max_size=8))
def test_two_paths_clash_where_a_tree_would_not_take_both(paths: list[str]) -> None:
    safe = [path for path in paths if unsafe(path) is None]
    tree, taken_all = PackageTree(), True
    for path in safe:
        try:
            tree.add(path, Made(b""))
        except PermanentError:
            taken_all = False
    assert (list(clashes(safe)) == []) is taken_all


@given(st.lists(st.text("abc/", min_size=1, max_size=6), max_size=8))
def test_the_order_of_adding_changes_nothing_and_paths_come_sorted(paths: list[str]) -> None:
    kept: dict[str, Made] = {}
    tree = PackageTree()
    for path in paths:
        try:
            tree.add(path, Made(path.encode()))
        except PermanentError:
            continue
        kept[path] = Made(path.encode())
    again = PackageTree(dict(reversed(kept.items())))
    assert dict(again) == dict(tree) == kept
    assert list(again) == list(tree) == sorted(kept)
    assert all(unsafe(path) is None for path in tree)
