"""Blob storage: Azurite, behind a reverse proxy that streams and counts."""

from __future__ import annotations

import http.client
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from packhouse.local.azure.identity import BLOB_DOMAIN, Identity
from packhouse.local.azure.standin.exchange import ConnectionCut, Reply, Request

_CHUNK: Final = 256 * 1024
_IDLE: Final = 30.0
"""Seconds after which a connection to Azurite is not used again; it keeps them for longer."""
_HOP: Final = frozenset({"connection", "keep-alive", "proxy-connection", "transfer-encoding", "te", "upgrade"})


class Blobs:
    """Answers for every storage account, and looks into them for the workspaces."""

    def __init__(self, identity: Identity, port: int, authority: Path) -> None:
        self._identity = identity
        self._port = port
        self._authority = authority
        self._tls = ssl.create_default_context(cafile=str(authority))
        self._kept = threading.local()

    def answer(self, request: Request) -> Reply:
        """Hand a request to Azurite and its answer back. Raises ``ConnectionCut`` where either end breaks off."""
        connection = self._connection()
        try:
            connection.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers.items():
                if name.lower() not in _HOP:
                    connection.putheader(name, value)
            connection.endheaders()
            for piece in request.body():
                connection.send(piece)
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise ConnectionCut from error
        except ConnectionCut:
            connection.close()
            raise
        headers = {name: value for name, value in response.getheaders() if name.lower() not in _HOP}
        length = headers.pop("Content-Length", None) or headers.pop("content-length", None)
        known = int(length) if length is not None else None
        return Reply(response.status, headers, _pieces(connection, response), known)

    def refusal(self, status: int, code: str, message: str) -> Reply:
        """An error as blob storage words it."""
        text = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{escape(code)}</Code><Message>{escape(message)}'
        headers = {"Content-Type": "application/xml", "x-ms-error-code": code, "x-ms-request-id": "stand-in"}
        return Reply(status, headers, f"{text}</Message></Error>".encode())

    def exists(self, account: str, container: str, path: str) -> bool:
        """Whether a blob of this path is there, or one below it."""
        from azure.core.exceptions import ResourceNotFoundError

        with self._client(account) as client:
            names = client.get_container_client(container).list_blob_names(name_starts_with=path)
            try:
                return any(name == path or name.startswith(path.rstrip("/") + "/") for name in names)
            except ResourceNotFoundError:
                return False

    def make_containers(self) -> None:
        """Make the containers of the workspaces' datastores."""
        from azure.core.exceptions import ResourceExistsError

        for workspace in self._identity.workspaces:
            with self._client(workspace.account) as client:
                try:
                    client.create_container(workspace.container)
                except ResourceExistsError:
                    continue

    def clear(self) -> None:
        """Delete everything in every account, and make the workspaces' containers anew."""
        for account in self._identity.accounts:
            with self._client(account.name) as client:
                for container in client.list_containers():
                    client.delete_container(container)
        self.make_containers()

    def _client(self, account: str):  # noqa: ANN202 (the type is Azure's, imported when it is needed)
        from azure.storage.blob import BlobServiceClient

        return BlobServiceClient(
            f"https://127.0.0.1:{self._port}/{account}",
            credential={"account_name": account, "account_key": self._identity.account_key(account)},
            connection_verify=str(self._authority),
            use_env_settings=False,
            retry_total=3,
        )

    def _connection(self) -> http.client.HTTPSConnection:
        """This thread's connection to Azurite. There is one thread for each connection of a client."""
        connection: http.client.HTTPSConnection | None = getattr(self._kept, "connection", None)
        if connection is None or time.monotonic() - self._kept.used > _IDLE:
            if connection is not None:
                connection.close()
            connection = http.client.HTTPSConnection("127.0.0.1", self._port, context=self._tls, blocksize=_CHUNK)
            self._kept.connection = connection
        self._kept.used = time.monotonic()
        return connection


def is_blob_host(host: str) -> bool:
    """Whether a host is that of a storage account."""
    return host.endswith(BLOB_DOMAIN)


def _pieces(connection: http.client.HTTPSConnection, response: http.client.HTTPResponse) -> Iterator[bytes]:
    whole = False
    try:
        while piece := response.read1(_CHUNK):
            yield piece
        response.close()  # or the connection takes it for unfinished where it has no body
        whole = True
    except (OSError, http.client.HTTPException) as error:
        raise ConnectionCut from error
    finally:
        if not whole:
            connection.close()
