"""Signing in to Azure by the standard environment."""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

_CHATTY: Final = ("azure.identity", "azure.core", "azure.storage", "azure.ai.ml", "msal", "urllib3")
"""Loggers that write requests, headers and addresses with signatures at levels below warning."""


@cache
def credential() -> TokenCredential:
    """The process's one credential, made when Azure is first needed.

    It signs in by the first that the environment has: service principal (``AZURE_CLIENT_ID`` and its secret or
    certificate), workload identity of a cluster, managed identity, the login of a developer.
    """
    from azure.identity import DefaultAzureCredential

    quiet_libraries()
    # A worker has no one to ask, and the broker's and the shell's logins cost seconds where they are missing.
    return DefaultAzureCredential(
        exclude_interactive_browser_credential=True,
        exclude_powershell_credential=True,
        exclude_shared_token_cache_credential=True,
        retry_total=2,
        connection_timeout=10,
        read_timeout=30,
    )


def quiet_libraries() -> None:
    """Keep what the Azure libraries tell of each request, which may hold tokens and signatures, out of the log."""
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)
