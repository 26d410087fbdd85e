from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, external_data_helper, helper

from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.onnx import ExternalTensor, external_locations

DATA = Path(__file__).parents[2] / "data"
REAL_MODELS = sorted(DATA.glob("**/*.onnx"))


def tensor(name: str, location: str | None = None, **entries: str) -> TensorProto:
    made = helper.make_tensor(name, TensorProto.FLOAT, [2], [1.0, 2.0])
    if location is not None:
        made.ClearField("float_data")
        made.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, **entries}.items():
            entry = made.external_data.add()
            entry.key, entry.value = key, value
    return made


def sparse(name: str) -> Any:
    made = onnx.SparseTensorProto(dims=[4])
    made.values.CopyFrom(tensor(f"{name}.values", f"{name}.values.bin"))
    made.indices.CopyFrom(tensor(f"{name}.indices", f"{name}.indices.bin"))
    return made


def graph(name: str, nodes: list[Any] | None = None, initializers: list[Any] | None = None) -> Any:
    return helper.make_graph(nodes or [], name, [], [], initializer=initializers or [])


def model_with_external_data_everywhere() -> onnx.ModelProto:
    loop_body = graph("body", [], [tensor("in_loop", "loop.bin", offset="64", length="8")])
    loop = helper.make_node("Loop", ["n", "c"], ["r"], body=loop_body)
    then = graph("then", [loop], [tensor("in_then", "then.bin")])
    otherwise = graph("else", [helper.make_node("Constant", [], ["k"], value=tensor("in_else", "else.bin"))])
    many = helper.make_node("Custom", [], ["z"], domain="own")
    many.attribute.append(helper.make_attribute("tensors", [tensor("t0", "t0.bin"), tensor("t1", "t1.bin")]))
    many.attribute.append(helper.make_attribute("graphs", [graph("g0", [], [tensor("in_g0", "g0.bin")])]))
    many.attribute.append(helper.make_attribute("one_sparse", sparse("as")))
    many.attribute.append(helper.make_attribute("sparses", [sparse("ms0"), sparse("ms1")]))
    main = graph(
        "main",
        [helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=otherwise), many],
        [tensor("w", "weights/w.bin", offset="4096", length="8", checksum="0" * 40), tensor("plain")],
    )
    main.sparse_initializer.append(sparse("s"))
    made = helper.make_model(main)
    function = helper.make_function(
        "own", "F", ["x"], ["y"],
        [helper.make_node("Constant", [], ["y"], value=tensor("in_function", "function.bin"))],
        [helper.make_opsetid("", 17)],
        attribute_protos=[helper.make_attribute("default", tensor("default", "default.bin"))],
    )  # fmt: skip
    made.functions.append(function)
    training = made.training_info.add()
    training.initialization.CopyFrom(graph("init", [], [tensor("in_init", "init.bin")]))
    training.algorithm.CopyFrom(graph("step", [], [tensor("in_step", "step.bin")]))
    return made


def tensors_of(message: Message) -> Iterator[TensorProto]:
    """Every tensor that protobuf itself finds anywhere in a message."""
    if isinstance(message, TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for item in value if not isinstance(value, Message) else [value]:
                yield from tensors_of(item)


def as_protobuf_sees_it(data: bytes) -> list[ExternalTensor]:
    found: list[ExternalTensor] = []
    for item in tensors_of(onnx.ModelProto.FromString(data)):
        if external_data_helper.uses_external_data(item):
            info = {text(entry.key): text(entry.value) for entry in item.external_data}
            length = int(info["length"]) if "length" in info else None
            found.append(ExternalTensor(text(item.name), info["location"], int(info.get("offset", "0")), length))
    return sorted(found, key=repr)


def text(value: str | bytes) -> str:
    """protobuf gives a string that is not UTF-8 as bytes."""
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def read(data: bytes, folder: Path) -> list[ExternalTensor]:
    path = folder / "model.onnx"
    path.write_bytes(data)
    return external_locations(str(path), shown="the model")


def refused(data: bytes, folder: Path) -> PermanentError:
    with pytest.raises(PermanentError) as caught:
        read(data, folder)
    assert caught.value.code is ErrorCode.MODEL_NOT_ONNX
    assert caught.value.fix
    return caught.value


def read_or_refused(data: bytes, folder: Path) -> list[ExternalTensor] | None:
    try:
        return read(data, folder)
    except PermanentError as error:
        if error.code is not ErrorCode.MODEL_NOT_ONNX:
            raise
        return None


def test_external_data_is_found_wherever_a_tensor_can_be(tmp_path: Path) -> None:
    data = model_with_external_data_everywhere().SerializeToString()
    found = read(data, tmp_path)
    assert sorted(found, key=repr) == as_protobuf_sees_it(data)
    assert {tensor.location for tensor in found} == {
        "weights/w.bin", "then.bin", "loop.bin", "else.bin", "t0.bin", "t1.bin", "g0.bin", "function.bin",
        "default.bin", "init.bin", "step.bin",
        *(f"{name}.{part}.bin" for name in ("s", "as", "ms0", "ms1") for part in ("values", "indices")),
    }  # fmt: skip
    assert ExternalTensor("w", "weights/w.bin", 4096, 8) in found
    assert ExternalTensor("in_then", "then.bin", 0, None) in found


@pytest.mark.parametrize("path", REAL_MODELS, ids=lambda path: path.parent.parent.name[:12])
def test_real_models_without_external_data_have_none(path: Path) -> None:
    assert external_locations(str(path)) == []


def test_what_onnx_saves_with_external_data_is_found(tmp_path: Path) -> None:
    model = onnx.load(REAL_MODELS[0])
    onnx.save_model(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    data = (tmp_path / "m.onnx").read_bytes()
    found = external_locations(str(tmp_path / "m.onnx"))
    assert {item.location for item in found} == {"m.data"}
    assert sorted(found, key=repr) == as_protobuf_sees_it(data)
    assert max(item.offset + (item.length or 0) for item in found) <= (tmp_path / "m.data").stat().st_size


def test_external_entries_of_a_tensor_that_is_not_external_are_ignored(tmp_path: Path) -> None:
    inline = tensor("w", "w.bin")
    inline.data_location = TensorProto.DEFAULT
    assert read(helper.make_model(graph("g", [], [inline])).SerializeToString(), tmp_path) == []


def test_the_last_of_several_entries_of_one_key_counts_as_it_does_for_onnx(tmp_path: Path) -> None:
    twice = tensor("w", "first.bin")
    entry = twice.external_data.add()
    entry.key, entry.value = "location", "last.bin"
    found = read(helper.make_model(graph("g", [], [twice])).SerializeToString(), tmp_path)
    assert [item.location for item in found] == ["last.bin"]
    assert external_data_helper.ExternalDataInfo(twice).location == "last.bin"


class Opened:
    """A file that counts what is read of it."""

    def __init__(self, path: Path) -> None:
        self.data = path.read_bytes()
        self.size = len(self.data)
        self.read = 0

    def readinto(self, buffer: memoryview, at: int) -> int:
        piece = self.data[at : at + min(len(buffer), 1000)]
        buffer[: len(piece)] = piece
        self.read += len(piece)
        return len(piece)


def test_a_file_that_gives_little_at_a_time_is_read_as_well(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(model_with_external_data_everywhere().SerializeToString())
    assert external_locations(Opened(path)) == external_locations(str(path))


def test_weights_inside_the_file_are_passed_over_and_not_read(tmp_path: Path) -> None:
    weights = onnx.TensorProto(name="big", data_type=TensorProto.UINT8, dims=[32 << 20], raw_data=bytes(32 << 20))
    path = tmp_path / "m.onnx"
    path.write_bytes(helper.make_model(graph("g", [], [weights, tensor("w", "w.bin")])).SerializeToString())
    opened = Opened(path)
    assert [item.location for item in external_locations(opened)] == ["w.bin"]
    assert opened.read < 1 << 20


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "it is empty"),
        (b"\0" * 4096, "field number 0"),
        (b"This is a text and no model at all.\n", "wire type"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS pointer"),
        (gzip.compress(b"\x08\x07", mtime=0), "gzip"),
        (b"PK\x03\x04" + bytes(64), "ZIP archive"),
        (b"\x08\x07", "no graph"),
        (b"\x08" + b"\xff" * 12, "longer than ten bytes"),
        (b"\x3a\xff\xff\xff\xff\x0f", "longer than what it lies in"),
        (b"\x38\x01", "no message"),
        (b"\x3a", "ends in the middle"),
        (b"\x3b\x3c", "wire type 3"),
    ],
    ids=str,
)
def test_what_is_not_onnx_is_refused_with_a_reason(data: bytes, says: str, tmp_path: Path) -> None:
    error = refused(data, tmp_path)
    assert says in error.message
    assert error.message.startswith("the model is not an ONNX model")


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({"location": ""}, "does not name"),
        ({"location": "w", "offset": "-1"}, "offset"),
        ({"location": "w", "length": "1e9"}, "length"),
        ({"location": "w", "offset": "9" * 30}, "offset"),
        ({"location": "x" * 5000}, "longer than"),
    ],
)
def test_an_external_tensor_that_cannot_be_located_is_refused(
    entries: dict[str, str], says: str, tmp_path: Path
) -> None:
    model = helper.make_model(graph("g", [], [tensor("w", **entries)]))
    assert says in refused(model.SerializeToString(), tmp_path).message


def test_a_location_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    data = helper.make_model(graph("g", [], [tensor("w", "weights")])).SerializeToString()
    assert "UTF-8" in refused(data.replace(b"weights", b"w\xff\xfeghts"), tmp_path).message


def test_graphs_nested_beyond_reason_are_refused_quickly(tmp_path: Path) -> None:
    data = b""
    for _ in range(3000):  # graph > node > attribute > graph …
        for key in (0x32, 0x2A, 0x0A):
            data = bytes([key]) + _varint(len(data)) + data
    assert "nested more than" in refused(b"\x3a" + _varint(len(data)) + data, tmp_path).message


def test_a_tensor_field_given_twice_is_refused_because_readers_would_merge_it(tmp_path: Path) -> None:
    def field(key: int, data: bytes) -> bytes:
        return bytes([key]) + _varint(len(data)) + data

    located = tensor("a", "hidden.bin")
    located.ClearField("data_location")
    external = TensorProto(data_location=TensorProto.EXTERNAL)
    attribute = field(0x2A, located.SerializeToString()) + field(0x2A, external.SerializeToString())
    data = field(0x3A, field(0x0A, field(0x2A, attribute)))
    merged = onnx.ModelProto.FromString(data).graph.node[0].attribute[0].t
    assert external_data_helper.uses_external_data(merged)
    assert "twice" in refused(data, tmp_path).message


def test_a_missing_file_is_for_the_caller_to_explain(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        external_locations(str(tmp_path / "none.onnx"))


def test_a_hundred_thousand_nodes_take_seconds_at_most(tmp_path: Path) -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], strides=[1, 1], pads=[0, 0, 0, 0], dilations=[1, 1], group=1)
    field = node.SerializeToString()
    body = (b"\x0a" + _varint(len(field)) + field) * 100_000
    started = time.process_time()
    assert read(b"\x3a" + _varint(len(body)) + body, tmp_path) == []
    assert time.process_time() - started < 30


SEEDS = [model_with_external_data_everywhere().SerializeToString(), min((p.read_bytes() for p in REAL_MODELS), key=len)]


@given(data=st.data())
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_model_is_read_as_protobuf_reads_it_or_refused(data: st.DataObject, tmp_path: Path) -> None:
    damaged = bytearray(data.draw(st.sampled_from(SEEDS)))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        match data.draw(st.sampled_from(["set", "cut", "insert", "remove"])):
            case "set":
                damaged[at] = data.draw(st.integers(0, 255))
            case "cut":
                damaged = damaged[: at + 1]
            case "insert":
                damaged[at:at] = data.draw(st.binary(min_size=1, max_size=12))
            case _:
                del damaged[at : at + data.draw(st.integers(1, 16))]
                damaged = damaged or bytearray(b"\0")
    _read_alike(bytes(damaged), tmp_path)


@given(st.binary(max_size=512))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_read_as_protobuf_reads_them_or_refused(tmp_path: Path, data: bytes) -> None:
    _read_alike(data, tmp_path)


def _read_alike(data: bytes, folder: Path) -> None:
    found = read_or_refused(data, folder)
    if found is None:
        return
    try:
        expected = as_protobuf_sees_it(data)
    except DecodeError:
        return  # a broken part that we pass over because no tensor can lie in it
    except (KeyError, ValueError):
        pytest.fail("accepted an external tensor that cannot be located")
    assert sorted(found, key=repr) == expected


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
