from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from support.memory import InMemory

from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.worker.models.signature import (
    MapType,
    OptionalType,
    SequenceType,
    Signature,
    TensorType,
    Value,
    ValueType,
)
from packhouse.worker.models.signature_reader import read_signature

MODELS = sorted((Path(onnx.__file__).parent / "backend/test/data").glob("**/*.onnx"))


def read(model: onnx.ModelProto | bytes) -> Signature:
    return read_signature(InMemory(model if isinstance(model, bytes) else model.SerializeToString()), shown="the model")


def refused(data: bytes) -> PermanentError:
    with pytest.raises(PermanentError) as caught:
        read(data)
    assert caught.value.code is ErrorCode.MODEL_NOT_ONNX
    return caught.value


def as_onnx_sees(kind: Any) -> ValueType:
    if kind.HasField("tensor_type"):
        tensor = kind.tensor_type
        if not tensor.HasField("shape"):
            shape = None
        else:
            shape = tuple(
                dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else (dim.dim_param or None)
                for dim in tensor.shape.dim
            )
        return TensorType(TensorProto.DataType.Name(tensor.elem_type).lower(), shape)
    if kind.HasField("sequence_type"):
        return SequenceType(as_onnx_sees(kind.sequence_type.elem_type))
    if kind.HasField("optional_type"):
        return OptionalType(as_onnx_sees(kind.optional_type.elem_type))
    if kind.HasField("map_type"):
        key = TensorProto.DataType.Name(kind.map_type.key_type).lower()
        return MapType(key, as_onnx_sees(kind.map_type.value_type))
    return TensorType("undefined", None)


def as_onnx_reads(model: onnx.ModelProto) -> Signature:
    given = {tensor.name for tensor in model.graph.initializer}
    given |= {tensor.values.name for tensor in model.graph.sparse_initializer}
    return Signature(
        tuple(Value(value.name, as_onnx_sees(value.type)) for value in model.graph.input if value.name not in given),
        tuple(Value(value.name, as_onnx_sees(value.type)) for value in model.graph.output),
    )


def in_words(kind: ValueType) -> str:
    """As ONNX Runtime says it."""
    if isinstance(kind, SequenceType):
        return f"seq({in_words(kind.of)})"
    if isinstance(kind, OptionalType):
        return f"optional({in_words(kind.of)})"
    if isinstance(kind, MapType):
        return f"map({kind.key},{in_words(kind.value)})"
    return f"tensor({kind.element})"


def with_inputs(inputs: list[Any], outputs: list[Any] | None = None, **more: Any) -> onnx.ModelProto:
    return helper.make_model(helper.make_graph([], "g", inputs, outputs or [], **more))


def test_every_model_of_the_onnx_package_reads_as_protobuf_reads_it() -> None:
    assert len(MODELS) > 100
    for path in MODELS:
        model = onnx.load(path, load_external_data=False)
        assert read(path.read_bytes()) == as_onnx_reads(model), path


def test_onnx_runtime_sees_the_same_inputs_and_outputs() -> None:
    """Of each kind of model in the package some; where it infers a shape that the file leaves open, it knows more."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    seen = 0
    for path in MODELS[::7]:
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception:  # noqa: BLE001 -- an operator or a type that this version does not have
            continue
        signature = read(path.read_bytes())
        for ours, theirs in ((signature.inputs, session.get_inputs()), (signature.outputs, session.get_outputs())):
            assert [value.name for value in ours] == [value.name for value in theirs]
            for mine, other in zip(ours, theirs, strict=True):
                assert in_words(mine.type) == other.type, path
                if isinstance(mine.type, TensorType) and mine.type.shape:
                    assert len(other.shape) == len(mine.type.shape)
                    pairs = zip(mine.type.shape, other.shape, strict=True)
                    assert all(own == its or own is None or isinstance(own, str) for own, its in pairs), path
        seen += 1
    assert seen > 10


def test_dimensions_are_fixed_named_or_neither_and_a_scalar_is_not_of_unknown_rank() -> None:
    model = with_inputs(
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT16, [1, "height", None, -1, 0]),
            helper.make_tensor_value_info("scalar", TensorProto.INT64, []),
            helper.make_tensor_value_info("any", TensorProto.STRING, None),
        ]
    )
    assert read(model).inputs == (
        Value("x", TensorType("float16", (1, "height", None, None, 0))),
        Value("scalar", TensorType("int64", ())),
        Value("any", TensorType("string", None)),
    )


def test_sequences_maps_and_optionals_keep_what_is_in_them() -> None:
    tensor = helper.make_tensor_type_proto(TensorProto.FLOAT, ["n"])
    of_map = onnx.TypeProto()
    of_map.map_type.key_type = TensorProto.INT64
    of_map.map_type.value_type.CopyFrom(tensor)
    model = with_inputs(
        [helper.make_value_info("maybe", helper.make_optional_type_proto(helper.make_sequence_type_proto(tensor)))],
        [helper.make_value_info("probabilities", helper.make_sequence_type_proto(of_map))],
    )
    inner = TensorType("float", ("n",))
    assert read(model) == Signature(
        (Value("maybe", OptionalType(SequenceType(inner))),),
        (Value("probabilities", SequenceType(MapType("int64", inner))),),
    )


def test_inputs_with_an_initializer_are_left_out_wherever_it_stands() -> None:
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("x", "w", "s")]
    weight = helper.make_tensor("w", TensorProto.FLOAT, [2], [1, 2])
    indices = helper.make_tensor("i", TensorProto.INT64, [1], [0])
    sparse = helper.make_sparse_tensor(helper.make_tensor("s", TensorProto.FLOAT, [1], [1]), indices, [2])
    model = with_inputs(inputs, initializer=[weight], sparse_initializer=[sparse])
    assert [value.name for value in read(model).inputs] == ["x"]
    first = onnx.ModelProto(graph=onnx.GraphProto(input=inputs))
    graph = first.graph.SerializeToString() + onnx.GraphProto(initializer=[weight]).SerializeToString()
    assert [value.name for value in read(b"\x3a" + varint(len(graph)) + graph).inputs] == ["x", "s"]


def varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
    return out + bytes([number])


def field(number: int, value: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(value)) + value


def test_weights_and_their_number_take_no_memory() -> None:
    weights = b"".join(field(5, field(8, f"weight_{n}".encode()) + field(9, bytes(256))) for n in range(20_000))
    value = onnx.GraphProto(input=[helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])]).SerializeToString()
    source = InMemory(field(7, weights + value))
    tracemalloc.start()
    try:
        assert [value.name for value in read_signature(source, shown="m").inputs] == ["x"]
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_type_without_end_and_values_without_end_are_refused() -> None:
    nested = b""
    for _ in range(60):
        nested = field(4, field(1, nested))
    assert "nested" in refused(field(7, field(11, field(2, nested)))).message
    many = field(11, field(1, b"n" * 4000)) * 20_000
    assert "than any model's" in refused(field(7, many)).message


@pytest.mark.parametrize("data", [b"", b"\x08\x01", b"PK\x03\x04rest", b"\xff" * 40])
def test_what_is_no_model_is_refused(data: bytes) -> None:
    assert refused(data).fix


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_model_is_refused_or_read_and_never_more(data: st.DataObject) -> None:
    whole = bytearray(data.draw(st.sampled_from(MODELS)).read_bytes()[:4000])
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        seen = read(bytes(whole))
    except PermanentError as error:
        seen = error.code
    assert isinstance(seen, Signature) or seen is ErrorCode.MODEL_NOT_ONNX
