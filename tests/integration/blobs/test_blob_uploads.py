from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support.blobs import BlobPlace
from support.farm import wait_for

from packhouse.schemas.blob.upload import Uploaded, upload
from packhouse.schemas.errors import ErrorCode, PackhouseError, PermanentError, TransientError
from packhouse.worker.ledger import LeaseLost
from packhouse.worker.storage.blob.copying import copy_within_account
from packhouse.worker.storage.blob.sending import upload_file
from packhouse.worker.storage.local import Roots
from packhouse.worker.storage.location import Location

# A response that the library gives up half-read leaves its socket to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

MIB = 1 << 20
BLOCK = 8 * MIB


@pytest.fixture
def file(tmp_path: Path) -> Callable[[int], Path]:
    """Makes a file of so many bytes, each megabyte another, most of it holes."""

    def make(size: int, name: str = "w.bin") -> Path:
        path = tmp_path / name
        with path.open("wb") as out:
            out.truncate(size)
            for at in range(0, size, MIB):
                out.seek(at)
                out.write(f"{name} {at}".encode()[: size - at])
        return path

    return make


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def send(
    place: BlobPlace, path: Path, name: str = "up/w.bin", *, sha256: str | None = None, **more: object
) -> Uploaded:
    location = Location(str(path), "/engine/w.bin")
    with Roots([str(path.parent)]).open_file(location) as source:
        return upload_file(
            place.clients,
            place.root.child(name),
            source,
            sha256=sha256 or digest(path),
            **more,  # pyright: ignore[reportArgumentType]
        )


def stored_digest(place: BlobPlace, name: str) -> str:
    found = hashlib.sha256()
    for chunk in place.container.download_blob(name).chunks():
        found.update(chunk)
    return found.hexdigest()


@pytest.mark.parametrize("size", [0, 1, 256 * 1024, 256 * 1024 + 1, BLOCK, BLOCK + 1, 3 * BLOCK - 1])
def test_a_file_arrives_whole_with_its_digest_and_each_byte_is_sent_once(
    place: BlobPlace, file: Callable[[int], Path], size: int
) -> None:
    path, told = file(size), [0]
    uploaded = send(place, path, advance=lambda count: told.__setitem__(0, told[0] + count))
    assert (uploaded.bytes_sent, uploaded.already) == (size, False)
    assert place.content("up/w.bin") == path.read_bytes()
    properties = place.container.get_blob_client("up/w.bin").get_blob_properties()
    assert properties.metadata == {"sha256": digest(path)}
    assert told == [size]
    overhead = place.sent() - size
    assert 0 <= overhead < 2000
    place.azure.forget_requests()
    again = send(place, path)
    assert again.already
    assert again.bytes_sent == 0
    if size > 256 * 1024:
        assert place.sent() == 0


@pytest.mark.full
def test_300_megabytes(place: BlobPlace, file: Callable[[int], Path]) -> None:
    path = file(300 * MIB)
    assert send(place, path) == Uploaded(300 * MIB, already=False)
    assert stored_digest(place, "up/w.bin") == digest(path)
    assert 300 * MIB <= place.sent() < 300 * MIB + 10_000


def test_a_file_that_is_not_what_was_digested_is_not_put_anywhere(
    place: BlobPlace, file: Callable[[int], Path]
) -> None:
    for size in (10, 2 * BLOCK):
        with pytest.raises(PermanentError) as caught:
            send(place, file(size), sha256="0" * 64)
        assert caught.value.code is ErrorCode.MODEL_CHANGED
    assert place.names() == []


def test_a_blob_that_holds_something_else_is_not_overwritten(place: BlobPlace, file: Callable[[int], Path]) -> None:
    place.put("up/w.bin", b"theirs")
    for size in (10, 2 * BLOCK):
        with pytest.raises(PermanentError) as caught:
            send(place, file(size))
        assert caught.value.code is ErrorCode.DESTINATION_TAKEN
    assert place.content("up/w.bin") == b"theirs"


def test_a_blob_appears_only_when_the_work_is_confirmed(place: BlobPlace, file: Callable[[int], Path]) -> None:
    def lost() -> None:
        assert place.names() == []
        raise LeaseLost

    for size in (10, 2 * BLOCK):
        with pytest.raises(LeaseLost):
            send(place, file(size), confirm=lost)
    assert place.names() == []


def test_work_that_is_called_off_stops(place: BlobPlace, file: Callable[[int], Path]) -> None:
    def lost(_: int) -> None:
        raise LeaseLost

    with pytest.raises(LeaseLost):
        send(place, file(12 * BLOCK), advance=lost)
    assert place.sent() <= 6 * BLOCK
    assert place.names() == []


UPLOADER = """
import sys
from azure.core.credentials import AzureSasCredential
from packhouse.schemas.blob.address import BlobAddress
from packhouse.worker.storage.blob.clients import BlobClients
from packhouse.worker.storage.blob.sending import upload_file
from packhouse.worker.storage.local import Roots
from packhouse.worker.storage.location import Location

class Access:
    def __init__(self, signature):
        self._credential = AzureSasCredential(signature)
    def credential(self, address):
        return self._credential
    def refused(self, address):
        pass

def highest():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

path, url, sha256 = sys.argv[1:]
clients = BlobClients(Access(sys.stdin.readline().strip()))
address = BlobAddress.parse(url)
next(iter(clients.container(address).list_blob_names()), None)
idle = highest()
with Roots([path.rpartition("/")[0]]).open_file(Location(path, path)) as source:
    uploaded = upload_file(clients, address, source, sha256=sha256)
print(uploaded.bytes_sent, idle, highest())
"""


def uploader(place: BlobPlace, path: Path, name: str = "up/w.bin") -> subprocess.Popen[str]:
    """A process of its own that uploads a file."""
    address = place.root.child(name)
    place.access.credential(place.root)
    process = subprocess.Popen(
        [sys.executable, "-c", UPLOADER, str(path), str(address), digest(path)],
        env={**os.environ, **place.azure.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    process.stdin.write(place.access.signatures[-1] + "\n")
    process.stdin.flush()
    return process


@pytest.mark.full
def test_after_a_kill_only_what_is_missing_is_sent(place: BlobPlace, file: Callable[[int], Path]) -> None:
    blocks = 10
    path = file(blocks * BLOCK)
    with place.azure.faults.on(method="PUT", path="comp=block&", skip=5, times=None, delay=60):
        process = uploader(place, path)
        wait_for(lambda: len(staged(place)) >= 5, what="five blocks")
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=10)
    assert place.names() == []
    there = len(staged(place))
    assert 5 <= there < blocks
    wait_for(lambda: all(one.done for one in place.azure.requests), what="the requests to end")
    there = len(staged(place))
    place.azure.forget_requests()
    assert send(place, path).bytes_sent == (blocks - there) * BLOCK
    assert (blocks - there) * BLOCK <= place.sent() < (blocks - there) * BLOCK + 3000
    assert stored_digest(place, "up/w.bin") == digest(path)


def staged(place: BlobPlace) -> list[str]:
    from azure.core.exceptions import ResourceNotFoundError

    try:
        return [block.id for block in place.container.get_blob_client("up/w.bin").get_block_list("uncommitted")[1]]
    except ResourceNotFoundError:
        return []


def test_two_at_once_both_succeed(place: BlobPlace, file: Callable[[int], Path]) -> None:
    path, outcomes, meet = file(4 * BLOCK), list[Uploaded | BaseException](), threading.Barrier(2)

    def run() -> None:
        try:
            outcomes.append(send(place, path, confirm=meet.wait))
        except BaseException as error:  # noqa: BLE001 (looked at below)
            outcomes.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(isinstance(one, Uploaded) for one in outcomes), outcomes
    assert sorted(one.already for one in outcomes if isinstance(one, Uploaded)) == [False, True]
    assert stored_digest(place, "up/w.bin") == digest(path)


def test_one_who_commits_first_does_not_harm_the_other(place: BlobPlace, file: Callable[[int], Path]) -> None:
    path, faster = file(6 * BLOCK), list[Uploaded]()

    def overtaken(_: int) -> None:
        if not faster:
            faster.append(send(place, path))

    assert send(place, path, advance=overtaken).already
    assert not faster[0].already
    assert stored_digest(place, "up/w.bin") == digest(path)


@pytest.mark.full
def test_a_connection_cut_in_mid_block_costs_that_block(place: BlobPlace, file: Callable[[int], Path]) -> None:
    path = file(4 * BLOCK)
    with place.azure.faults.on(method="PUT", path="comp=block&", cut_request_after=3 * MIB, times=1) as fault:
        assert send(place, path).bytes_sent == 4 * BLOCK
        assert fault.struck == 1
    assert place.sent() < 4 * BLOCK + 3 * MIB + MIB
    assert stored_digest(place, "up/w.bin") == digest(path)


@pytest.mark.full
def test_connections_that_stay_cut_are_a_transient_error_and_the_next_attempt_goes_on(
    place: BlobPlace, file: Callable[[int], Path]
) -> None:
    path = file(6 * BLOCK)
    with place.azure.faults.on(method="PUT", path="comp=block&", skip=2, cut_request_after=MIB, times=None):
        error = failed(place, path)
    assert (type(error), error.code) == (TransientError, ErrorCode.AZURE_UNAVAILABLE)
    there = len(staged(place))
    assert there >= 2
    assert send(place, path).bytes_sent == (6 - there) * BLOCK


def failed(place: BlobPlace, path: Path) -> PackhouseError:
    with pytest.raises(PackhouseError) as caught:
        send(place, path)
    text = f"{caught.value!r} {caught.value.fix} {caught.value.__cause__!r}"
    assert "sig=" not in text
    for signature in place.access.signatures:
        assert signature.partition("sig=")[2].partition("&")[0] not in text
    return caught.value


@pytest.mark.full
def test_a_signature_that_ends_in_mid_upload_is_renewed_and_the_next_attempt_goes_on(
    place: BlobPlace, file: Callable[[int], Path]
) -> None:
    path = file(6 * BLOCK)
    place.access.seconds = 4
    with place.azure.faults.on(method="PUT", path="comp=block&", skip=2, times=None, delay=5):
        error = failed(place, path)
    assert isinstance(error, TransientError)
    assert place.access.refusals == 1
    place.access.seconds = 3600
    there = len(staged(place))
    assert there >= 2
    assert send(place, path).bytes_sent == (6 - there) * BLOCK
    assert len(place.access.signatures) == 2


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        ({"status": 403, "code": "AuthorizationPermissionMismatch"}, PermanentError, ErrorCode.AZURE_FORBIDDEN),
        ({"status": 403, "code": "AuthenticationFailed"}, TransientError, ErrorCode.AZURE_FORBIDDEN),
        ({"status": 401, "code": "NoAuthenticationInformation"}, PermanentError, ErrorCode.AZURE_SIGN_IN_FAILED),
        ({"status": 404, "code": "ContainerNotFound"}, PermanentError, ErrorCode.AZURE_NOT_FOUND),
        ({"status": 429, "code": "TooManyRequests", "retry_after": 7}, TransientError, ErrorCode.AZURE_UNAVAILABLE),
        ({"status": 400, "code": "InvalidHeaderValue"}, PermanentError, ErrorCode.AZURE_REFUSED),
    ],
)
def test_what_the_service_refuses_is_told_without_secrets(
    place: BlobPlace, file: Callable[[int], Path], fault: dict[str, object], kind: type[PackhouseError], code: ErrorCode
) -> None:
    path = file(2 * BLOCK)
    with place.azure.faults.on(method="PUT", path="comp=block&", times=None, **fault):
        error = failed(place, path)
    assert (type(error), error.code) == (kind, code)
    assert str(place.root.child("up/w.bin")) in error.message
    if isinstance(error, TransientError) and "retry_after" in fault:
        assert error.retry_after == 7
    if code is ErrorCode.AZURE_FORBIDDEN and kind is PermanentError:
        assert "Storage Blob Data Contributor" in error.fix


def test_a_permission_that_is_missing_is_named(place: BlobPlace, file: Callable[[int], Path]) -> None:
    place.access.permissions = "rl"
    error = failed(place, file(2 * BLOCK))
    assert (type(error), error.code) == (PermanentError, ErrorCode.AZURE_FORBIDDEN)
    assert "Storage Blob Data Contributor" in error.fix


@pytest.mark.parametrize("etag", [False, True])
def test_a_copy_is_made_by_the_server(place: BlobPlace, etag: bool) -> None:
    data = os.urandom(9 * MIB)
    source = place.put("models/w ü.bin", data)
    size, sha256 = len(data), hashlib.sha256(data).hexdigest()
    tag = place.container.get_blob_client("models/w ü.bin").get_blob_properties().etag if etag else None
    place.azure.forget_requests()
    destination = place.root.child("assets/w.bin")
    told: list[int] = []
    assert copy_within_account(
        place.clients, source, destination, etag=tag, advance=told.append, size=size, sha256=sha256
    )
    assert place.sent() == 0
    assert sum(told) == len(data)
    assert sum(one.response_bytes for one in place.azure.requests if one.method == "GET") == 0
    assert place.content("assets/w.bin") == data
    assert not copy_within_account(place.clients, source, destination, etag=tag, size=size, sha256=sha256)
    with place.storage.open_file(place.at("models/w ü.bin")) as opened:
        again = upload(place.clients.blob(destination), opened, str(destination), sha256=sha256)
    assert again == Uploaded(0, already=True)


def test_a_copy_of_what_has_changed_or_gone_is_refused(place: BlobPlace) -> None:
    source = place.put("w.bin", b"old")
    tag = place.container.get_blob_client("w.bin").get_blob_properties().etag
    place.put("w.bin", b"new")
    size, sha256 = 3, hashlib.sha256(b"old").hexdigest()
    for expected in (ErrorCode.MODEL_CHANGED, ErrorCode.MODEL_MISSING):
        with pytest.raises(PermanentError) as caught:
            copy_within_account(place.clients, source, place.root.child("copy"), etag=tag, size=size, sha256=sha256)
        assert caught.value.code in (expected, ErrorCode.MODEL_CHANGED)
        if expected is ErrorCode.MODEL_CHANGED:
            place.container.delete_blob("w.bin")
    assert "copy" not in place.names()
    place.put("copy", b"theirs")
    with pytest.raises(PermanentError) as caught:
        copy_within_account(place.clients, source, place.root.child("copy"), size=size, sha256=sha256)
    assert caught.value.code is ErrorCode.DESTINATION_TAKEN


@pytest.mark.full
@pytest.mark.parametrize(
    "size", [256 * MIB, pytest.param(1024 * MIB, marks=[pytest.mark.full, pytest.mark.timeout(600)])]
)
def test_an_uploading_process_needs_little_memory(place: BlobPlace, tmp_path: Path, size: int) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as out:
        out.truncate(size)
    process = uploader(place, path)
    out, _ = process.communicate(timeout=500)
    sent, idle, peak = map(int, out.split())
    assert sent == size
    assert peak - idle <= 64 * MIB
