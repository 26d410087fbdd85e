"""What lets the unmodified SDK find the stand-in: environment variables alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from packhouse.local.azure.authority import LOGIN_HOST
from packhouse.local.azure.identity import Identity
from packhouse.local.azure.place import Place

_LOOPBACK: Final = "127.0.0.1,localhost"
PROXY: Final = "HTTPS_PROXY"
_AUTHORITY: Final = "REQUESTS_CA_BUNDLE"
_OF_THE_NETWORK: Final = (PROXY, PROXY.lower(), "NO_PROXY", "no_proxy", _AUTHORITY)


def azure_environment(place: Place, port: int) -> dict[str, str]:
    """Environment in which Azure's SDKs speak to the stand-in on this port, as one signed in by a client secret."""
    identity = Identity.kept_in(place.identity)
    proxy = f"http://127.0.0.1:{port}"
    workspace = f"{identity.subscription}/{identity.resource_group}/{identity.workspaces[0].name}"
    return {
        # Both spellings: programs differ in which of them they look at first.
        PROXY: proxy,
        PROXY.lower(): proxy,
        "NO_PROXY": _LOOPBACK,
        "no_proxy": _LOOPBACK,
        _AUTHORITY: str(place.certificates / "authority.pem"),
        "AZURE_AUTHORITY_HOST": f"https://{LOGIN_HOST}",
        "AZURE_TENANT_ID": identity.tenant,
        "AZURE_CLIENT_ID": identity.client,
        "AZURE_CLIENT_SECRET": identity.client_secret,
        "PACKHOUSE_AZURE_WORKSPACES": workspace,
    }


def fetching_as_before(environment: Mapping[str, str]) -> dict[str, str]:
    """The setting by which workers fetch runtime packages as they would without a stand-in: proxy and certificates."""
    told = ";".join(f"{name}={environment.get(name, '')}" for name in _OF_THE_NETWORK)
    return {"PACKHOUSE_FETCH_ENVIRONMENT": told}


def without_azure(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment less all that would lead Azure's SDKs elsewhere."""
    return {key: value for key, value in environment.items() if not key.startswith(("AZURE_", "AZUREML_"))}
