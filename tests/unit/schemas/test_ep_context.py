from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper

from packhouse.schemas.epcontext import EPContext, ep_contexts
from packhouse.schemas.errors import ErrorCode, PermanentError


def compiled(name: str = "n", *, domain: str = "com.microsoft", **attributes: Any) -> NodeProto:
    return helper.make_node("EPContext", ["x"], ["y"], name=name, domain=domain, **attributes)


def save(path: Path, *nodes: NodeProto) -> str:
    path.write_bytes(helper.make_model(graph_of(*nodes)).SerializeToString())
    return str(path)


def graph_of(*nodes: NodeProto) -> GraphProto:
    return helper.make_graph(list(nodes), "g", [], [])


def test_only_nodes_that_name_a_file_have_a_place(tmp_path: Path) -> None:
    path = save(
        tmp_path / "m.onnx",
        compiled("file", ep_cache_context="a/b.bin", embed_mode=0, source="QNN"),
        compiled("embedded", ep_cache_context=b"\xff\x00" * 5_000, embed_mode=1),
        compiled("by default embedded", ep_cache_context="c.bin"),
        compiled("second of a context", embed_mode=0, main_context=0, source="QNNExecutionProvider"),
        compiled("another domain", domain="mine", ep_cache_context="d.bin", embed_mode=0),
        helper.make_node("Relu", ["x"], ["y"], name="r"),
    )
    assert ep_contexts(path) == [
        EPContext("file", "QNN", "a/b.bin"),
        EPContext("embedded", "", None),
        EPContext("by default embedded", "", None),
        EPContext("second of a context", "QNNExecutionProvider", None),
    ]


def test_nodes_in_subgraphs_at_any_depth_are_found(tmp_path: Path) -> None:
    node = compiled("inner", ep_cache_context="c.bin", embed_mode=0)
    for _ in range(20):
        node = helper.make_node("If", ["c"], ["y"], then_branch=graph_of(node), else_branch=graph_of())
    assert [context.location for context in ep_contexts(save(tmp_path / "m.onnx", node))] == ["c.bin"]


def test_what_was_compiled_into_the_model_is_not_read(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", compiled(ep_cache_context=b"x" * (32 << 20), embed_mode=1))
    tracemalloc.start()
    try:
        assert len(ep_contexts(path)) == 1
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("context", [b"x" * 5_000, b"\xff.bin"])
def test_a_file_name_that_can_be_none_is_refused(tmp_path: Path, context: bytes) -> None:
    path = save(tmp_path / "m.onnx", compiled("net", ep_cache_context=context, embed_mode=0))
    with pytest.raises(PermanentError, match="'net'") as caught:
        ep_contexts(path, shown="the model")
    assert caught.value.code is ErrorCode.MODEL_NOT_ONNX


def test_graphs_nested_without_end_are_refused(tmp_path: Path) -> None:
    graph = b""
    for _ in range(400):
        for number in (6, 5, 1):  # a graph in an attribute in a node in a graph
            graph = bytes([number << 3 | 2]) + _varint(len(graph)) + graph
    (tmp_path / "m.onnx").write_bytes(b"\x3a" + _varint(len(graph)) + graph)
    with pytest.raises(PermanentError, match="nested"):
        ep_contexts(str(tmp_path / "m.onnx"))


def _varint(value: int) -> bytes:
    data = b""
    while value > 0x7F:
        data += bytes([value & 0x7F | 0x80])
        value >>= 7
    return data + bytes([value])


_WHOLE = helper.make_model(
    helper.make_graph(
        [
            compiled(ep_cache_context="c.bin", embed_mode=0),
            helper.make_node("If", ["c"], ["y"], then_branch=graph_of()),
        ],
        "g",
        [],
        [],
        [helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0])],
    )
).SerializeToString()


class Held:
    """A model in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def readinto(self, buffer: memoryview, at: int) -> int:
        part = self._data[at : at + len(buffer)]
        buffer[: len(part)] = part
        return len(part)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=6), st.integers(0, len(_WHOLE)), st.integers(0, 8))
def test_broken_models_are_refused_or_read_and_nothing_else(noise: bytes, at: int, cut: int) -> None:
    codes: list[ErrorCode] = []
    try:
        ep_contexts(Held(_WHOLE[:at] + noise + _WHOLE[at + cut :]))
    except PermanentError as error:
        codes.append(error.code)
    assert set(codes) <= {ErrorCode.MODEL_NOT_ONNX}


@given(st.lists(st.tuples(st.text("ab/.", max_size=8), st.booleans()), max_size=5))
@settings(deadline=None)
def test_every_node_is_found_in_its_order(made: list[tuple[str, bool]]) -> None:
    nodes = [compiled(f"n{at}", ep_cache_context=name, embed_mode=int(embed)) for at, (name, embed) in enumerate(made)]
    model = ModelProto(graph=graph_of(*nodes), ir_version=8)
    expected = [EPContext(f"n{at}", "", None if embed else name or None) for at, (name, embed) in enumerate(made)]
    assert ep_contexts(Held(model.SerializeToString())) == expected
