from __future__ import annotations

import pytest
from azure.core.exceptions import ClientAuthenticationError

from packhouse.schemas.errors import PermanentError, TransientError
from packhouse.worker.storage.blob.failures import asking

SEVERAL = """DefaultAzureCredential failed to retrieve a token from the included credentials.
Attempted credentials:
\tEnvironmentCredential: {}
\tAzureCliCredential: Azure CLI not found on path
To mitigate this issue, please refer to the troubleshooting guidelines."""


def raised(text: str) -> PermanentError | TransientError:
    with pytest.raises((PermanentError, TransientError)) as caught, asking("the workspace", permission="a role"):
        raise ClientAuthenticationError(SEVERAL.format(text))
    return caught.value


@pytest.mark.parametrize(
    "text",
    [
        "Authentication failed: HTTP Error: 503",
        "Authentication failed: HTTP Error: 429",
        "Authentication failed: ('Unable to connect to proxy', RemoteDisconnected('closed'))",
        "Authentication failed: HTTPSConnection(host='login', port=443): Failed to resolve 'login'",
        "Authentication failed: HTTPSConnectionPool(host='login', port=443): Read timed out.",
    ],
)
def test_a_sign_in_that_did_not_get_an_answer_is_tried_again(text: str) -> None:
    error = raised(text)
    assert isinstance(error, TransientError)
    assert error.code == "azure_unavailable"
    assert (error.retry_after or 0) == (60 if "HTTP Error" in text else 0)


@pytest.mark.parametrize(
    "text",
    [
        "Authentication failed: AADSTS7000215: Invalid client secret provided.",
        "EnvironmentCredential authentication unavailable. Environment variables are not fully configured.",
    ],
)
def test_a_sign_in_that_was_refused_is_not_tried_again(text: str) -> None:
    error = raised(text)
    assert isinstance(error, PermanentError)
    assert error.code == "azure_sign_in_failed"
    assert "AZURE_CLIENT_ID" in error.fix


def test_of_several_ways_the_one_that_was_refused_is_told() -> None:
    assert "AADSTS7000215" in raised("Authentication failed: AADSTS7000215: Invalid client secret.").message
