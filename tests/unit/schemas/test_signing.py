from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packhouse.schemas.signing import SigningKey, parse_signature

SECRET = "0f" * 32
QUEUE = "{packhouse}:runs"


def test_a_key_is_an_id_and_at_least_32_bytes() -> None:
    key = SigningKey.parse(f" farm-1:{SECRET}\n")
    assert (key.id, key.secret) == ("farm-1", bytes.fromhex(SECRET))


@pytest.mark.parametrize(
    "text", ["", "farm", f":{SECRET}", f"a b:{SECRET}", f"farm:{SECRET[:-2]}", "farm:" + "zz" * 32]
)
def test_what_is_no_key_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ValueError, match="openssl rand") as raised:
        SigningKey.parse(text)
    assert SECRET[:-2] not in str(raised.value)


def test_the_secret_is_in_no_text_of_a_key() -> None:
    key = SigningKey.parse(f"farm:{SECRET}")
    assert SECRET not in repr(key)
    assert repr(key.secret) not in repr(key)


def test_the_signature_is_the_hmac_that_the_format_says() -> None:
    key = SigningKey.parse(f"farm:{SECRET}")
    told = hmac.digest(bytes.fromhex(SECRET), b"packhouse-event-1\n{packhouse}:runs\n{}", hashlib.sha256).hex()
    assert key.sign(b"{}", QUEUE) == f"v1 farm {told}"


@given(st.binary(), st.binary(), st.sampled_from([QUEUE, "{other}:runs"]))
def test_only_the_event_that_was_signed_for_the_queue_is_signed(event: bytes, other: bytes, queue: str) -> None:
    key = SigningKey("farm", bytes(32))
    parsed = parse_signature(key.sign(event, QUEUE))
    assert parsed
    name, digest = parsed
    assert name == "farm"
    assert key.signed(event, QUEUE, digest)
    assert key.signed(other, queue, digest) == ((other, queue) == (event, QUEUE))
    assert not SigningKey("farm", bytes([1]) * 32).signed(event, QUEUE, digest)


@given(st.text())
def test_what_is_no_signature_is_none(text: str) -> None:
    assert parse_signature(text) is None
