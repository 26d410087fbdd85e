"""Access tokens: JSON Web Tokens with the claims that Azurite asks for, signed so that nobody else can make them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import uuid
from typing import Any, Final

from packhouse.local.azure.identity import Identity

LIFETIME: Final = 3600
"""Seconds that a token is good for."""


def issue(identity: Identity, audience: str) -> str:
    """A token of the application for a resource, ``https://management.azure.com`` for one."""
    now = int(time.time())
    claims = {
        "aud": audience,
        "iss": f"https://sts.windows.net/{identity.tenant}/",
        "iat": now,
        "nbf": now - 60,
        "exp": now + LIFETIME,
        "appid": identity.client,
        "idtyp": "app",
        "oid": identity.principal,
        "sub": identity.principal,
        "tid": identity.tenant,
        "uti": uuid.uuid4().hex,
        "ver": "1.0",
    }
    signed = f"{_encode({'typ': 'JWT', 'alg': 'HS256'})}.{_encode(claims)}"
    return f"{signed}.{_signature(identity, signed)}"


def is_good(identity: Identity, token: str, audience: str) -> bool:
    """Whether we issued a token, for this resource, and it has not run out."""
    signed, _, signature = token.rpartition(".")
    if not hmac.compare_digest(signature, _signature(identity, signed)):
        return False
    claims = json.loads(base64.urlsafe_b64decode(signed.partition(".")[2] + "=="))
    return claims["aud"].rstrip("/") == audience and claims["exp"] > time.time()


def _encode(document: dict[str, Any]) -> str:
    return _text(json.dumps(document, separators=(",", ":")).encode())


def _signature(identity: Identity, signed: str) -> str:
    return _text(hmac.digest(bytes.fromhex(identity.signing_key), signed.encode(), hashlib.sha256))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
