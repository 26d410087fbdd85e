"""Signatures of events: who has a key may publish, and what was signed cannot be altered.

The signature of an event is a second field of its stream entry: ``v1``, the id of the key and the HMAC-SHA256 (RFC
2104) in hexadecimal, separated by blanks. What is signed is the line ``packhouse-event-1``, the line with the key of
the run queue, and then the bytes of the event as they lie in the entry: an event that was signed for one queue is none
in another.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import Final, Self

SIGNATURE_FIELD: Final = "signature"
"""The field of a run queue's entry that holds the signature."""

_KEY: Final = re.compile(r"([A-Za-z0-9._-]{1,64}):((?:[0-9a-fA-F]{2}){32,128})")
_SIGNATURE: Final = re.compile(r"v1 ([A-Za-z0-9._-]{1,64}) ([0-9a-f]{64})")


@dataclass(frozen=True)
class SigningKey:
    """A secret that an engine and the workers share, and the name that both have for it."""

    id: str
    secret: bytes = field(repr=False)
    """At least 32 bytes."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """The key of ``id:secret``, the secret in hexadecimal. Raises ``ValueError``, which never holds the secret."""
        found = _KEY.fullmatch(text.strip())
        if not found:
            raise ValueError(
                "a signing key is id:secret; the id has letters, digits, dots, dashes and underscores, "
                "the secret at least 64 hexadecimal digits, as openssl rand -hex 32 makes them"
            )
        return cls(found[1], bytes.fromhex(found[2]))

    def sign(self, event: bytes, run_queue: str) -> str:
        """The signature of an event that goes into that queue."""
        return f"v1 {self.id} {self._digest(event, run_queue)}"

    def signed(self, event: bytes, run_queue: str, digest: str) -> bool:
        """Whether the digest is that of the event. Takes as long whatever the difference is."""
        return hmac.compare_digest(self._digest(event, run_queue), digest)

    def _digest(self, event: bytes, run_queue: str) -> str:
        signed = hmac.new(self.secret, b"packhouse-event-1\n" + run_queue.encode() + b"\n", hashlib.sha256)
        signed.update(event)
        return signed.hexdigest()


def parse_signature(text: str) -> tuple[str, str] | None:
    """Key id and digest of a signature; None where the text is none."""
    found = _SIGNATURE.fullmatch(text)
    return (found[1], found[2]) if found else None
