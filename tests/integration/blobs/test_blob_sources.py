from __future__ import annotations

import hashlib
import random
from collections.abc import Callable

import pytest
from onnx import TensorProto, helper
from support.blobs import BlobPlace

from packhouse.schemas.blob.address import BlobAddress
from packhouse.schemas.errors import ErrorCode, PackhouseError, PermanentError, TransientError
from packhouse.schemas.footprint import ModelConfig
from packhouse.worker.models.source import find
from packhouse.worker.storage.location import Location
from packhouse.worker.storage.readable import Readable, read_full

# A response that the library gives up half-read leaves its socket to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

MIB = 1 << 20
NOISE = random.Random(3).randbytes(11 * MIB + 7)


def model(*external: tuple[str, int]) -> bytes:
    tensors: list[TensorProto] = []
    for number, (location, length) in enumerate(external):
        tensor = TensorProto(
            name=f"w{number}", data_type=TensorProto.UINT8, dims=[length], data_location=TensorProto.EXTERNAL
        )
        for key, value in (("location", location), ("offset", "0"), ("length", str(length))):
            tensor.external_data.add(key=key, value=value)
        tensors.append(tensor)
    return helper.make_model(helper.make_graph([], "g", [], [], initializer=tensors)).SerializeToString()


def here(path: str) -> Location:
    return Location(path, path)


def read_all(file: Readable, chunk: int = MIB) -> bytes:
    buffer = memoryview(bytearray(chunk))
    return b"".join(
        read_full(file, buffer[: min(chunk, file.size - at)], at).tobytes() for at in range(0, file.size, chunk)
    )


def refusal(call: Callable[[], object]) -> PackhouseError:
    with pytest.raises(PackhouseError) as caught:
        call()
    assert caught.value.fix
    return caught.value


def test_an_onnx_model_with_external_data_is_found_in_blobs(place: BlobPlace) -> None:
    place.put("run/out/best model.onnx", model(("w 1.bin", 100), ("sub/ü%.bin", 5)))
    place.put("run/out/w 1.bin", bytes(100))
    place.put("run/out/sub/ü%.bin", bytes(5))
    url = str(place.root.child("run/out/best model.onnx"))
    assert "best%20model" in url
    source = find(ModelConfig(type="ONNXModel", config={"model_path": url}), here, place.storage)
    assert [file.relative for file in source.files] == ["model.onnx", "sub/ü%.bin", "w 1.bin"]
    for file in source.files:
        assert file.location.shown.startswith(str(place.root))
        with place.storage.open_file(file.location) as opened:
            assert (opened.size, opened.mark) == (file.size, file.mark)


def test_a_folder_of_blobs_is_a_model_and_a_datastore_path_leads_there_too(place: BlobPlace) -> None:
    for name in ("a/m.onnx", "a/tokenizer.json", "a/deep/vocab.txt", "ab/other"):
        place.put(name, model() if name.endswith("onnx") else b"{}")
    place.put("a/deep", b"", metadata={"hdi_isfolder": "true"})
    for path in (str(place.root.child("a")), "azureml://datastores/workspaceblobstore/paths/a/"):
        source = find(ModelConfig(type="ONNXModel", config={"model_path": path}), here, place.storage)
        assert [file.relative for file in source.files] == ["deep/vocab.txt", "model.onnx", "tokenizer.json"]
    assert not place.storage.is_folder(place.at("a/m.onnx"))
    assert place.storage.is_folder(place.at("a/deep"))


@pytest.mark.parametrize("chunk", [MIB, 300_001, 5 * MIB])
def test_a_blob_is_read_in_order_with_each_byte_fetched_once(place: BlobPlace, chunk: int) -> None:
    place.put("w.bin", NOISE)
    place.azure.forget_requests()
    with place.storage.open_file(place.at("w.bin")) as file:
        file.read_ahead()
        assert hashlib.sha256(read_all(file, chunk)).digest() == hashlib.sha256(NOISE).digest()
    fetched = [one.response_bytes for one in place.azure.requests if one.method == "GET"]
    assert sum(fetched) == len(NOISE)
    assert len(fetched) == 3


def test_a_look_at_places_far_apart_fetches_little(place: BlobPlace) -> None:
    place.put("w.bin", NOISE)
    place.azure.forget_requests()
    with place.storage.open_file(place.at("w.bin")) as file:
        for at in (0, 10, 5 * MIB, len(NOISE) - 3):
            count = min(20, len(NOISE) - at)
            assert read_full(file, memoryview(bytearray(count)), at) == NOISE[at : at + count]
        assert file.readinto(memoryview(bytearray(10)), len(NOISE)) == 0
    assert sum(one.response_bytes for one in place.azure.requests if one.method == "GET") < 200_000


@pytest.mark.parametrize("ahead", [False, True])
def test_a_blob_that_is_replaced_while_it_is_read_has_changed(place: BlobPlace, ahead: bool) -> None:
    place.put("w.bin", NOISE * 2)
    with place.storage.open_file(place.at("w.bin")) as file:
        if ahead:
            file.read_ahead()
        buffer = memoryview(bytearray(100))
        read_full(file, buffer, 0)
        place.put("w.bin", bytes(len(NOISE) * 2))
        with pytest.raises(PermanentError) as caught:
            read_all(file)
    assert caught.value.code is ErrorCode.MODEL_CHANGED
    place.put("w.bin", NOISE)
    with place.storage.open_file(place.at("w.bin")) as file:
        place.container.delete_blob("w.bin")
        assert refusal(lambda: read_all(file)).code in (
            ErrorCode.MODEL_MISSING,
            ErrorCode.MODEL_CHANGED,
        )


def test_what_is_not_there_is_named_as_the_sender_knows_it(place: BlobPlace) -> None:
    place.put("a/b", b"1")
    for call in (place.storage.open_file, place.storage.is_folder):
        error = refusal(lambda call=call: call(place.at("a/c"), missing=ErrorCode.EXTERNAL_DATA_MISSING))
        assert error.code is ErrorCode.EXTERNAL_DATA_MISSING
        assert str(place.root.child("a/c")) in error.message
    assert refusal(lambda: place.storage.open_file(place.at("a"))).code is ErrorCode.MODEL_MISSING
    assert list(place.storage.walk(place.at("x"))) == []


def test_a_container_that_is_not_allowed_is_not_even_asked_for(place: BlobPlace) -> None:
    azure = place.azure
    azure.forget_requests()
    for address in (
        BlobAddress(azure.other_account, azure.other_container, "m.onnx"),
        BlobAddress(azure.account, "elsewhere", "m.onnx"),
    ):
        error = refusal(lambda address=address: place.storage.open_file(here(str(address))))
        assert error.code is ErrorCode.PATH_FORBIDDEN
        assert f"{address.account}/{address.container}" in error.fix
    escape = f"{place.root}/..%2felsewhere/m.onnx"
    assert refusal(lambda: place.storage.open_file(here(escape))).code is ErrorCode.PATH_FORBIDDEN
    assert azure.requests == []


def test_a_container_that_is_not_there(place: BlobPlace) -> None:
    place.access.allowed = type(place.access.allowed)([f"{place.root.account}/*"])
    nowhere = BlobAddress(place.root.account, "nowhere", "m.onnx")
    assert refusal(lambda: place.storage.open_file(here(str(nowhere)))).code is ErrorCode.MODEL_MISSING


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        ({"status": 403, "code": "AuthorizationPermissionMismatch"}, PermanentError, ErrorCode.AZURE_FORBIDDEN),
        ({"status": 401, "code": "NoAuthenticationInformation"}, PermanentError, ErrorCode.AZURE_SIGN_IN_FAILED),
        ({"status": 429, "code": "TooManyRequests"}, TransientError, ErrorCode.AZURE_UNAVAILABLE),
        ({"status": 500, "code": "InternalError"}, TransientError, ErrorCode.AZURE_UNAVAILABLE),
        ({"status": 503, "code": "ServerBusy"}, TransientError, ErrorCode.AZURE_UNAVAILABLE),
        ({"cut_response_after": 1000}, TransientError, ErrorCode.AZURE_UNAVAILABLE),
        ({"cut_response_after": 0}, TransientError, ErrorCode.AZURE_UNAVAILABLE),
    ],
)
@pytest.mark.slow
def test_what_goes_wrong_while_reading_is_an_error_without_secrets(
    place: BlobPlace, fault: dict[str, object], kind: type[PackhouseError], code: ErrorCode
) -> None:
    place.put("w.bin", bytes(100_000))
    with place.storage.open_file(place.at("w.bin")) as file, place.azure.faults.on(method="GET", times=None, **fault):
        error = refusal(lambda: read_all(file))
    assert (type(error), error.code) == (kind, code)
    text = f"{error!r} {error} {error.fix} {error.__cause__!r}"
    assert str(place.root.child("w.bin")) in text
    for signature in place.access.signatures:
        assert signature.partition("sig=")[2].partition("&")[0] not in text
    assert "sig=" not in text


def test_a_connection_that_is_cut_once_is_not_even_noticed(place: BlobPlace) -> None:
    place.put("w.bin", NOISE)
    with place.storage.open_file(place.at("w.bin")) as file:
        file.read_ahead()
        place.azure.faults.on(method="GET", cut_response_after=100_000, times=1)
        assert read_all(file) == NOISE
