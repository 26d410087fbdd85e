"""Sign-in: Microsoft Entra's discovery documents and the client credentials grant."""

from __future__ import annotations

import hmac
from urllib.parse import parse_qs

from packhouse.local.azure.authority import LOGIN_HOST
from packhouse.local.azure.identity import Identity
from packhouse.local.azure.standin import tokens
from packhouse.local.azure.standin.exchange import Reply, Request, json_reply


class Login:
    """Answers for login.microsoftonline.com. Knows one tenant and one application."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def answer(self, request: Request) -> Reply:
        """Carry out a request."""
        tenant, _, rest = request.path.lstrip("/").partition("/")
        if rest == "discovery/instance":
            return json_reply(200, self._instance())
        if tenant not in {self._identity.tenant, "organizations", "common"}:
            return self.refusal(400, "invalid_tenant", f"AADSTS90002: Tenant '{tenant}' not found.")
        if rest == "v2.0/.well-known/openid-configuration":
            return json_reply(200, self._configuration(tenant))
        if rest == "oauth2/v2.0/token" and request.method == "POST":
            form = parse_qs(b"".join(request.body()).decode("utf-8", "replace"))
            return self._token({name: values[0] for name, values in form.items()})
        return self.refusal(404, "not_found", "There is nothing here.")

    def refusal(self, status: int, code: str, message: str) -> Reply:
        """An error as the token endpoint words it."""
        return json_reply(status, {"error": code, "error_description": message, "error_codes": []})

    def _token(self, form: dict[str, str]) -> Reply:
        if form.get("grant_type") != "client_credentials":
            return self.refusal(400, "unsupported_grant_type", "AADSTS70003: Only client_credentials is known here.")
        if form.get("client_id") != self._identity.client:
            return self.refusal(400, "unauthorized_client", "AADSTS700016: The application was not found.")
        # A federated token of a workload identity stands in the place of the secret, and here is the same word.
        shown = form.get("client_secret") or form.get("client_assertion") or ""
        if not hmac.compare_digest(shown.encode(), self._identity.client_secret.encode()):
            return self.refusal(401, "invalid_client", "AADSTS7000215: Invalid client secret provided.")
        scope = form.get("scope", "").partition(" ")[0]
        if not scope.endswith("/.default"):
            return self.refusal(400, "invalid_scope", "AADSTS70011: The scope must end with /.default.")
        token = tokens.issue(self._identity, scope.removesuffix("/.default").rstrip("/"))
        lifetime = tokens.LIFETIME
        return json_reply(
            200,
            {"token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime, "access_token": token},
        )

    def _configuration(self, tenant: str) -> dict[str, object]:
        base = f"https://{LOGIN_HOST}/{tenant}"
        return {
            "issuer": f"{base}/v2.0",
            "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
            "token_endpoint": f"{base}/oauth2/v2.0/token",
            "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
            "jwks_uri": f"{base}/discovery/v2.0/keys",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
            "response_types_supported": ["code", "id_token", "token"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def _instance(self) -> dict[str, object]:
        return {
            "tenant_discovery_endpoint": f"https://{LOGIN_HOST}/{self._identity.tenant}/v2.0/.well-known/openid-configuration",
            "api-version": "1.1",
            "metadata": [
                {
                    "preferred_network": LOGIN_HOST,
                    "preferred_cache": "login.windows.net",
                    "aliases": [LOGIN_HOST, "login.windows.net", "login.microsoft.com", "sts.windows.net"],
                }
            ],
        }
