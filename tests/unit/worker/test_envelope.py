"""An event's envelope is read without trusting a byte of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packhouse.schemas import ErrorCode, PackhouseError, PermanentError
from packhouse.worker.intake.envelope import Head, read_envelope, read_head

SOUND: dict[str, Any] = {
    "specversion": "1.0",
    "id": "e1",
    "source": "/farm",
    "type": "packhouse.run.finished",
    "subject": "run-1",
    "data": {"b": 1, "a": 2},
}


def envelope(**fields: Any) -> bytes:
    return json.dumps(SOUND | fields).encode()


def test_a_sound_envelope_says_which_run_it_is_about() -> None:
    arrival = read_envelope(envelope(), 10_000)
    assert (arrival.run.source, arrival.run.id, arrival.event_id) == ("/farm", "run-1", "e1")


def test_the_digest_is_of_the_content_and_not_of_the_spelling_or_the_envelope() -> None:
    one = read_envelope(envelope(), 10_000)
    other = read_envelope(envelope(id="e2", time="2026-01-01T00:00:00Z", data={"a": 2, "b": 1}), 10_000)
    changed = read_envelope(envelope(data={"a": 2, "b": 2}), 10_000)
    assert one.digest == other.digest
    assert one.digest != changed.digest


def test_extension_attributes_of_cloudevents_are_let_through() -> None:
    assert read_envelope(envelope(traceparent="00-1-2-01"), 10_000).event_id == "e1"


def test_the_head_of_a_cut_off_event_names_its_run() -> None:
    raw = envelope(data="x" * 100_000)
    assert read_head(raw[:70_000]) == Head("e1", "/farm", "run-1")
    with pytest.raises(PermanentError) as caught:
        read_envelope(raw, 50_000)
    assert caught.value.code is ErrorCode.EVENT_TOO_LARGE


@given(st.binary(max_size=400))
def test_any_bytes_are_an_envelope_or_an_error_with_a_code(raw: bytes) -> None:
    read_head(raw)
    try:
        read_envelope(raw, 1000)
    except PackhouseError as error:
        assert error.fix  # noqa: PT017 (either outcome is right; an error has to say what to do)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*SOUND, "dataschema", "time", "Bad-Name"]), json_values))
def test_any_fields_are_an_envelope_or_an_error_with_the_field(fields: dict[str, Any]) -> None:
    raw = json.dumps(SOUND | fields).encode()
    try:
        arrival = read_envelope(raw, 100_000)
    except PackhouseError as error:
        assert error.field  # noqa: PT017 (as above)
    else:
        assert arrival.run.id


def test_an_event_without_data_says_where_its_data_lies() -> None:
    fields = {name: value for name, value in SOUND.items() if name != "data"}
    referring = read_envelope(json.dumps(fields | {"dataref": "/srv/run.json"}).encode(), 10_000)
    other = read_envelope(json.dumps(fields | {"dataref": "/srv/run2.json"}).encode(), 10_000)
    with_digest = read_envelope(
        json.dumps(fields | {"dataref": "/srv/run.json", "datarefsha256": "0" * 64}).encode(), 10_000
    )
    assert len({referring.digest, other.digest, with_digest.digest, read_envelope(envelope(), 10_000).digest}) == 4
    nowhere: list[dict[str, Any]] = [
        {},
        {"dataref": 1},
        {"dataref": "run.json"},
        {"dataref": "/srv/x", "datarefsha256": "x"},
        {"dataref": "https://acct1.blob.core.windows.net/c/x?sig=c2VjcmV0"},
    ]
    for more in nowhere:
        with pytest.raises(PermanentError) as caught:
            read_envelope(json.dumps(fields | more).encode(), 10_000)
        assert caught.value.field in ("data", "dataref", "datarefsha256")
        assert "c2VjcmV0" not in caught.value.message
