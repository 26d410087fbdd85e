"""What Azure answers, as errors that a person can act on, without any secret in their text."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, Final

from packhouse.schemas.errors import ErrorCode, PackhouseError, PermanentError, TransientError

_BEGINS: Final = r"(?i)(?:\b|(?<=26))"
"""A name begins a word, or follows an ampersand that is encoded as ``%26``, ``%2526`` or ``\\u0026``."""
_EQUALS: Final = r"(=|%(?:25){0,3}3d|\\u003d)"
_SECRETS: Final = (
    (
        re.compile(
            rf"{_BEGINS}(sig|client_secret|client_assertion|access_token|refresh_token|password){_EQUALS}[^&\s\"'<>]+"
        ),
        r"\1\2…",
    ),
    (re.compile(rf"{_BEGINS}(AccountKey|SharedAccessSignature){_EQUALS}[^;\s\"'<>]+"), r"\1\2…"),
    (re.compile(r"(?i)\b(Bearer|SharedKey)\s+[^\s\"'<>]+"), r"\1 …"),
    (re.compile(r"\beyJ[\w-]{10,}(\.[\w-]+)*"), "…"),
    (re.compile(r"(?<=://)[^/@\s:]*:[^/@\s]+(?=@)"), "…"),
)
_MARKS: Final = ("=", "eyJ", "://", "3D", "3d")
_WORDS: Final = ("bearer", "sharedkey")
"""One of these is in every text that any of the patterns fits: most texts have none, and are done with quickly."""
_LONGEST: Final = 300
_BUSY: Final = {408, 429, 500, 502, 503, 504}
_PASSING: Final = {"PendingCopyOperation", "ServerBusy", "OperationTimedOut", "InternalError"}
"""Codes of the service that pass by themselves, whatever status they come with."""
_LOST_RACES: Final = {409, 412}
_REFUSED_SIGN_IN: Final = "Authentication failed:"
_PASSING_SIGN_IN: Final = re.compile(
    rf"{_REFUSED_SIGN_IN}.*(HTTP Error: (408|429|5\d\d)|[Cc]onnect|timed out|Failed to resolve|temporar|throttl)"
)
"""DefaultAzureCredential keeps of what went wrong in the ways it tried nothing but the text."""
_BUSY_SIGN_IN: Final = re.compile(rf"{_REFUSED_SIGN_IN}.*HTTP Error: (429|5\d\d)")
_SIGN_IN_PAUSE: Final = 60.0
"""Seconds for which MSAL, on which azure-identity rests, answers by itself what the service answered when busy."""
_SIGNATURE_OVER: Final = "AuthenticationFailed"
"""What storage answers to a signature that has run out. One that was never good is answered so too."""


def scrub(text: str) -> str:
    """A text without the signatures, tokens and keys that addresses, headers and messages of Azure can hold."""
    if not any(mark in text for mark in _MARKS) and not any(word in text.lower() for word in _WORDS):
        return text
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


@contextmanager
def asking(what: str, *, permission: str, missing: ErrorCode = ErrorCode.AZURE_NOT_FOUND) -> Generator[None]:
    """Turn whatever the SDK raises into ``PermanentError`` and ``TransientError``.

    ``what`` names the thing that was asked for, ``permission`` the action or role that it takes; ``missing`` is the
    code where there is no such thing.
    """
    from azure.core.exceptions import AzureError

    try:
        yield
    except AzureError as error:
        # Not chained: the SDK's own texts hold addresses with signatures.
        raise failure(error, what, permission, missing) from None


def failure(
    error: Exception, what: str, permission: str, missing: ErrorCode = ErrorCode.AZURE_NOT_FOUND
) -> PackhouseError:
    """The error for something that the SDK raised."""
    from azure.core.exceptions import ClientAuthenticationError, HttpResponseError

    status = status_of(error)
    if status in _BUSY or code_of(error) in _PASSING or (status is None and _is_of_the_network(error)):
        return _unavailable(error, what, status)
    if status is None and isinstance(error, ClientAuthenticationError) and _PASSING_SIGN_IN.search(str(error)):
        return _unavailable(error, what, None)
    if status == 401 or isinstance(error, ClientAuthenticationError):  # noqa: PLR2004 (HTTP)
        if status == 403:  # noqa: PLR2004 (HTTP)
            return _forbidden(error, what, permission)
        return PermanentError(
            ErrorCode.AZURE_SIGN_IN_FAILED,
            f"Azure did not accept the sign-in for {what}: {_said(error)}.",
            fix="Give it an identity: a workload or managed identity, or AZURE_TENANT_ID, AZURE_CLIENT_ID and "
            "AZURE_CLIENT_SECRET. `packhouse doctor` checks it.",
        )
    if status == 403:  # noqa: PLR2004 (HTTP)
        return _forbidden(error, what, permission)
    if status == 404:  # noqa: PLR2004 (HTTP)
        return PermanentError(
            missing,
            f"Azure has no {what}: {_said(error)}.",
            fix="Check the names in the settings and in the event; `packhouse doctor` says which one is not there.",
        )
    said = _said(error) if isinstance(error, HttpResponseError) else scrub(str(error))[:_LONGEST]
    return PermanentError(
        ErrorCode.AZURE_REFUSED,
        f"Azure refused {what}: {said}.",
        fix="See the reason that the service gives.",
    )


def status_of(error: BaseException) -> int | None:
    """The HTTP status that an error of the SDK is about; None where there was no answer."""
    for each in _causes(error):
        status = getattr(each, "status_code", None) or getattr(getattr(each, "response", None), "status_code", None)
        if isinstance(status, int):
            return status
    return None


def code_of(error: BaseException) -> str:
    """The service's own code for an error, such as ``BlobAlreadyExists``; empty where it gave none."""
    for each in _causes(error):
        code = getattr(each, "error_code", None) or getattr(getattr(each, "error", None), "code", None)
        if code:
            return str(getattr(code, "value", code))
    return ""


def lost_race(error: BaseException) -> bool:
    """Whether somebody else was there first, or the thing is no longer as it was: 409 or 412."""
    return status_of(error) in _LOST_RACES


def _forbidden(error: Exception, what: str, permission: str) -> PackhouseError:
    if code_of(error) == _SIGNATURE_OVER:
        return TransientError(
            ErrorCode.AZURE_FORBIDDEN,
            f"The storage no longer takes the signature for {what}: {_said(error)}.",
            fix="A new one is asked for by itself. If it is refused too, check the datastore's credentials.",
        )
    return PermanentError(
        ErrorCode.AZURE_FORBIDDEN,
        f"The identity that is signed in may not use {what}: {_said(error)}.",
        fix=f"Grant it {permission} there.",
    )


def _unavailable(error: Exception, what: str, status: int | None) -> TransientError:
    late = _retry_after(error)
    return TransientError(
        ErrorCode.AZURE_UNAVAILABLE,
        f"Azure did not answer for {what}" + (f" (HTTP {status}): " if status else ": ") + f"{_said(error)}.",
        fix="Packaging is tried again by itself. If this stays, see the status of the service and of the network.",
        retry_after=late,
    )


def _retry_after(error: BaseException) -> float | None:
    """Seconds that the service asks to wait for."""
    if _BUSY_SIGN_IN.search(str(error)):
        return _SIGN_IN_PAUSE
    for each in _causes(error):
        headers: Any = getattr(getattr(each, "response", None), "headers", None) or {}
        for name, unit in (("retry-after-ms", 1000), ("x-ms-retry-after-ms", 1000), ("Retry-After", 1)):
            value = headers.get(name)
            if value and str(value).strip().isdigit():
                return int(value) / unit
    return None


def _is_of_the_network(error: BaseException) -> bool:
    from azure.core.exceptions import (
        IncompleteReadError,
        ServiceRequestError,
        ServiceResponseError,
    )

    kinds = (IncompleteReadError, ServiceRequestError, ServiceResponseError, ConnectionError, TimeoutError)
    return any(isinstance(each, kinds) for each in _causes(error))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those behind it: a sign-in tries several ways and raises one error for all."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _said(error: BaseException) -> str:
    """What the service said, in one line, cut to length."""
    inner = getattr(error, "error", None)
    text = getattr(inner, "message", None) or getattr(error, "message", None) or str(error) or type(error).__name__
    lines = [line.strip() for line in str(text).splitlines() if line.strip()] or [type(error).__name__]
    # A sign-in that tried several ways tells of each in a line; the one that was meant to work was refused.
    line = next((line for line in lines if _REFUSED_SIGN_IN in line), lines[0])
    return scrub(line)[:_LONGEST].rstrip(".")
