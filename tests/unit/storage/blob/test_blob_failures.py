from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)

from packhouse.schemas.blob.failures import asking, code_of, lost_race, scrub, status_of
from packhouse.schemas.errors import ErrorCode, PackhouseError, PermanentError, TransientError

SECRET = "c2VjcmV0U2lnbmF0dXJl"
LEAKS = [
    f"https://a.blob.core.windows.net/c/b?sv=1%26sig%3D{SECRET}%3D",
    f"goes to https://x/?next=https%3A%2F%2Fa%2Fc%3Fsv%253D1%2526sig%253d{SECRET}",
    f'{{"url": "https://a/c?sv\\u003d1\\u0026sig\\u003d{SECRET}"}}',
    f"<a href='https://a/c?sv=1&amp;sig={SECRET}'>",
    f"GET /c/b?sv=2024&sig={SECRET}%3D&se=1 failed",
    f"Authorization: Bearer {SECRET}",
    f"DefaultEndpointsProtocol=https;AccountKey={SECRET}==;x",
    f"SharedKey acct:{SECRET}",
    f"client_secret={SECRET}&scope=x",
    f"token eyJ0eXAiOiJKV1Qi.{SECRET}.{SECRET}",
    f"https://user:{SECRET}@host/",
]


def answered(status: int, code: str = "Code", headers: dict[str, str] | None = None) -> Any:
    error = HttpResponseError(message="What the service said.")
    error.status_code = status
    error.error_code = code  # pyright: ignore[reportAttributeAccessIssue]
    error.response = SimpleNamespace(status_code=status, headers=headers or {}, reason="")  # pyright: ignore[reportAttributeAccessIssue]
    return error


def raised(error: AzureError, **more: Any) -> PackhouseError:
    with pytest.raises(PackhouseError) as caught, asking("blob x", permission="the role R", **more):
        raise error
    assert caught.value.fix
    assert caught.value.__cause__ is None
    return caught.value


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (answered(401), PermanentError, ErrorCode.AZURE_SIGN_IN_FAILED),
        (answered(403), PermanentError, ErrorCode.AZURE_FORBIDDEN),
        (answered(403, "AuthenticationFailed"), TransientError, ErrorCode.AZURE_FORBIDDEN),
        (answered(404), PermanentError, ErrorCode.AZURE_NOT_FOUND),
        (answered(409), PermanentError, ErrorCode.AZURE_REFUSED),
        (answered(409, "PendingCopyOperation"), TransientError, ErrorCode.AZURE_UNAVAILABLE),
        (answered(412), PermanentError, ErrorCode.AZURE_REFUSED),
        (answered(408), TransientError, ErrorCode.AZURE_UNAVAILABLE),
        (answered(429), TransientError, ErrorCode.AZURE_UNAVAILABLE),
        (answered(500), TransientError, ErrorCode.AZURE_UNAVAILABLE),
        (answered(503, "ServerBusy"), TransientError, ErrorCode.AZURE_UNAVAILABLE),
        (ClientAuthenticationError(message="No way to sign in."), PermanentError, ErrorCode.AZURE_SIGN_IN_FAILED),
        (ServiceRequestError(message="No such host."), TransientError, ErrorCode.AZURE_UNAVAILABLE),
        (ServiceResponseError(message="Reset by peer."), TransientError, ErrorCode.AZURE_UNAVAILABLE),
    ],
)
def test_each_answer_is_permanent_or_transient(error: AzureError, kind: type[PackhouseError], code: ErrorCode) -> None:
    found = raised(error)
    assert (type(found), found.code) == (kind, code)
    assert "blob x" in found.message


def test_a_permission_that_is_missing_is_named() -> None:
    assert "the role R" in raised(answered(403)).fix


def test_what_is_not_there_has_the_code_that_the_caller_wants() -> None:
    assert raised(answered(404), missing=ErrorCode.MODEL_MISSING).code is ErrorCode.MODEL_MISSING


def test_the_time_that_the_service_asks_for_is_kept() -> None:
    for headers, seconds in (({"Retry-After": "7"}, 7.0), ({"x-ms-retry-after-ms": "250"}, 0.25), ({}, None)):
        found = raised(answered(429, "TooManyRequests", headers))
        assert isinstance(found, TransientError)
        assert found.retry_after == seconds


@pytest.mark.parametrize("text", LEAKS)
def test_no_secret_of_an_exception_gets_into_an_error(text: str) -> None:
    assert SECRET not in scrub(text)
    for error in (
        ServiceRequestError(message=text),
        HttpResponseError(message=text),
        ClientAuthenticationError(message=text),
    ):
        found = raised(error)
        assert SECRET not in f"{found!r} {found} {found.fix} {found.problem}"


def test_what_an_error_is_about() -> None:
    error = answered(412, "ConditionNotMet")
    assert (status_of(error), code_of(error), lost_race(error)) == (412, "ConditionNotMet", True)
    assert (status_of(OSError()), code_of(OSError()), lost_race(OSError())) == (None, "", False)
