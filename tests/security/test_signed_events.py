"""With a key set, nothing that a stranger puts into the run queue becomes a run, or is answered in another's name."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from redis import Redis
from support.farm import quick

from packhouse.producers import publish
from packhouse.producers.config import find_signing_key
from packhouse.schemas import FinishedRun, PermanentError, RunFinished
from packhouse.schemas.base import canonical_json
from packhouse.schemas.keys import Keys
from packhouse.schemas.signing import SigningKey
from packhouse.worker.azure.access import Azure
from packhouse.worker.context import Context
from packhouse.worker.identity import Identity
from packhouse.worker.intake.reader import RunQueueReader
from packhouse.worker.ledger import Ledger, connect
from packhouse.worker.runtimes.store import RuntimeStore
from packhouse.worker.settings import load
from packhouse.worker.storage.local import Roots
from packhouse.worker.storage.storage import Storage

OLD, NEW, STRANGERS = (SigningKey(name, bytes([number]) * 32) for number, name in enumerate(("2024", "2025", "2025")))


class Border:
    """A run queue with a reader that knows two keys, and no worker behind it."""

    def __init__(self, url: str, namespace: str, folder: Path) -> None:
        settings = quick(url, namespace, folder).model_copy(update={"event_keys": (OLD, NEW), "event_seconds": 600.0})
        self.url, self.namespace, self.keys = url, namespace, Keys(namespace)
        self.client = connect(url, decode=False)
        azure = Azure(settings)
        context = Context(
            settings=settings,
            ledger=Ledger(connect(url), settings),
            storage=Storage(Roots(settings.roots), azure.blobs),
            azure=azure,
            identity=Identity.of_worker("border@test"),
            runtimes=RuntimeStore(settings),
            wake=lambda _: None,
        )
        self.reader = RunQueueReader(self.client, context)
        self.reader.join()

    def publish(self, event: RunFinished, key: SigningKey | None) -> None:
        publish(event, self.url, namespace=self.namespace, durable_timeout=0, signing_key=key)

    def add(self, raw: bytes, signature: str | None) -> None:
        fields: Any = {"event": raw} | ({"signature": signature} if signature else {})
        self.client.xadd(self.keys.run_queue, fields)

    def runs(self) -> int:
        """Takes in what is there; how many runs the ledger then has."""
        while self.reader.read(1):
            pass
        assert self.client.xlen(self.keys.run_queue) == 0, "whatever came has left the queue"
        return len(list(self.client.scan_iter(f"{self.keys.prefix}run:*")))

    def reasons(self) -> list[str]:
        entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", self.client.xrange(self.keys.dead_letters))
        return [fields[b"reason"].decode() for _, fields in entries]

    @property
    def answers(self) -> int:
        return self.client.xlen(self.keys.status)


@pytest.fixture
def border(redis_url: str, namespace: str, tmp_path: Path) -> Any:
    border = Border(redis_url, namespace, tmp_path)
    yield border
    border.reader.leave()
    border.client.close()


def event_of(run_id: str = "run-1", *, age: float = 0.0) -> RunFinished:
    data = FinishedRun.model_validate({"engine": {"name": "olive"}, "output_dir": "/out"})
    made = datetime.now(UTC) - timedelta(seconds=age)
    return RunFinished.of(data, source="/farm", run_id=run_id).model_copy(update={"time": made})


@pytest.mark.parametrize("key", [OLD, NEW], ids=["the key that goes", "the key that comes"])
def test_an_event_that_is_signed_with_any_key_of_the_worker_becomes_a_run(border: Border, key: SigningKey) -> None:
    border.publish(event_of(), key)
    assert border.runs() == 1
    assert border.reasons() == []


def test_an_event_under_an_id_of_its_own_that_tells_no_time_is_a_dead_letter(border: Border) -> None:
    """Who may add to the queue may choose ids: one beyond all times holds up nobody."""
    raw = event_of().to_wire()
    border.client.xadd(
        border.keys.run_queue, {"event": raw, "signature": signed(raw, NEW, border)}, id="9223372036854775807-1"
    )
    assert border.runs() == 0
    (reason,) = border.reasons()
    assert "which tells no time" in reason
    assert border.answers == 0


def by_reference(**more: str) -> bytes:
    event = event_of().model_dump(mode="json", exclude_none=True)
    del event["data"]
    return canonical_json(event | {"dataref": "/srv/run.json"} | more)


def signed(raw: bytes, key: SigningKey, border: Border) -> str:
    return key.sign(raw, border.keys.run_queue)


FORGED: dict[str, tuple[Callable[[Border], tuple[bytes, str | None]], str]] = {
    "unsigned": (lambda _: (event_of().to_wire(), None), "is not signed"),
    "empty signature": (lambda _: (event_of().to_wire(), " "), "has another form"),
    "no key of ours": (
        lambda b: (event_of().to_wire(), signed(event_of().to_wire(), SigningKey("2019", bytes(32)), b)),
        "does not know",
    ),
    "another secret under a known id": (
        lambda b: ((raw := event_of().to_wire()), signed(raw, STRANGERS, b)),
        "is not what was signed",
    ),
    "altered": (
        lambda b: ((raw := event_of().to_wire()).replace(b'"/out"', b'"/etc"'), signed(raw, NEW, b)),
        "is not what was signed",
    ),
    "signed for another queue": (
        lambda _: ((raw := event_of().to_wire()), NEW.sign(raw, "{staging}:runs")),
        "is not what was signed",
    ),
    "old": (lambda b: ((raw := event_of(age=700).to_wire()), signed(raw, NEW, b)), "and came at"),
    "from the future": (lambda b: ((raw := event_of(age=-3600).to_wire()), signed(raw, NEW, b)), "and came at"),
    "without a time": (
        lambda b: (
            (raw := canonical_json({**json.loads(event_of().to_wire()), "time": None})),
            signed(raw, NEW, b),
        ),
        "says when it was made",
    ),
    "with a time of no zone": (
        lambda b: (
            (raw := canonical_json({**json.loads(event_of().to_wire()), "time": "2026-01-01T00:00:00"})),
            signed(raw, NEW, b),
        ),
        "says when it was made",
    ),
    "a document without its digest": (lambda b: ((raw := by_reference()), signed(raw, NEW, b)), "without its digest"),
    "signed bytes that are no event": (lambda b: (b"[[[", signed(b"[[[", NEW, b)), "says when it was made"),
}


@pytest.mark.parametrize("name", FORGED)
def test_what_is_not_signed_as_it_should_is_kept_as_a_dead_letter_and_answers_nobody(border: Border, name: str) -> None:
    make, reason = FORGED[name]
    border.add(*make(border))
    assert border.runs() == 0
    (told,) = border.reasons()
    assert told.startswith("signature_invalid")
    assert reason in told
    assert border.answers == 0


def test_a_document_with_its_digest_may_be_referred_to(border: Border) -> None:
    raw = by_reference(datarefsha256="0" * 64)
    border.add(raw, signed(raw, NEW, border))
    assert border.runs() == 1


def test_a_replayed_event_is_the_run_that_it_was(border: Border) -> None:
    raw = event_of().to_wire()
    for _ in range(3):
        border.add(raw, signed(raw, NEW, border))
        assert border.runs() == 1
    assert border.reasons() == []


def test_an_event_may_wait_for_a_worker_longer_than_it_may_be_old(border: Border) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=3)
    raw = event_of().model_copy(update={"time": long_ago}).to_wire()
    border.client.xadd(
        border.keys.run_queue,
        {"event": raw, "signature": signed(raw, NEW, border)},
        id=f"{int(long_ago.timestamp() * 1000)}-0",
    )
    assert border.runs() == 1


def test_keys_come_from_the_environment_or_a_file_and_their_secrets_are_in_no_message(tmp_path: Path) -> None:
    secret = "ab" * 32
    file = tmp_path / "key"
    file.write_text(f"2025:{secret}\n", "utf-8")
    assert find_signing_key({"PACKHOUSE_SIGNING_KEY_FILE": str(file)}) == SigningKey.parse(f"2025:{secret}")
    assert find_signing_key({}) is None
    settings = load(event_keys=f"2025:{secret};2024:{'cd' * 32}")
    assert [key.id for key in settings.event_keys] == ["2025", "2024"]
    assert secret not in repr(settings)
    for wrong in (
        lambda: load(event_keys=f"2025:{secret}x"),
        lambda: find_signing_key({"PACKHOUSE_SIGNING_KEY": secret}),
    ):
        with pytest.raises(PermanentError) as raised:
            wrong()
        assert secret not in f"{raised.value}{raised.value.fix}"


def test_a_run_that_is_forgotten_before_its_event_is_old_could_be_replayed_so_that_is_refused() -> None:
    with pytest.raises(PermanentError, match="could be replayed"):
        load(event_keys="a:" + "ab" * 32, event_seconds=100_000.0, retention_days=1.0)
    with pytest.raises(PermanentError, match="could be replayed"):
        load(event_keys="a:" + "ab" * 32, event_seconds=31 * 86400.0)


def test_a_server_that_lies_about_the_time_of_an_entry_is_not_there(border: Border) -> None:
    """An entry's id cannot be set back behind the last one, so an old event cannot be given an old entry."""
    border.publish(event_of("now"), NEW)
    raw = event_of("then", age=86400).to_wire()
    with pytest.raises(Exception, match="equal or smaller"):
        border.client.xadd(border.keys.run_queue, {"event": raw}, id="1-0")
    assert isinstance(border.client, Redis)
