"""The one port of the stand-in: a CONNECT proxy that ends the encryption itself and answers for Azure's hosts."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import ssl
import struct
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Final, cast

from packhouse.local.azure.authority import ARM_HOST, LOGIN_HOST, Certificates
from packhouse.local.azure.identity import BLOB_DOMAIN
from packhouse.local.azure.standin.exchange import ConnectionCut, Reply, Request, Service
from packhouse.local.azure.standin.faults import ActiveFault, Faults
from packhouse.local.azure.standin.log import Log, Record

_BUFFER: Final = 256 * 1024
_NO_BODY: Final = frozenset({204, 304})


class Gate(socketserver.ThreadingTCPServer):
    """Listens on loopback. Hosts of Azure are answered by the services; every other host is refused."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, port: int, certificates: Certificates, *, arm: Service, login: Service, blobs: Service, control: Service
    ) -> None:
        super().__init__(("127.0.0.1", port), _Outside)
        self.faults = Faults()
        self.log = Log()
        self.control = control
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(certificates.chain, certificates.key)
        self._services = {ARM_HOST: arm, LOGIN_HOST: login}
        self._blobs = blobs

    def service(self, host: str) -> Service | None:
        """Who answers for a host."""
        if host.endswith(BLOB_DOMAIN):
            return self._blobs
        return self._services.get(host)

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that breaks is the client's affair; anything else is ours and is printed."""
        import sys

        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(cast("socket.socket", request), client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "Packhouse"
    sys_version = ""
    rbufsize = _BUFFER
    server: Gate

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class calls it so)
        """The log of requests says it better."""

    def _request(self, host: str, record: Record | None = None, cut_after: int | None = None) -> Request:
        length = int(self.headers.get("Content-Length") or 0)

        def read(size: int) -> bytes:
            if record is not None and cut_after is not None:
                size = min(size, cut_after - record.request_bytes)
            piece = self.rfile.read1(size) if size else b""  # type: ignore[attr-defined]
            if record is not None:
                record.request_bytes += len(piece)
            if not piece:
                raise ConnectionCut
            return piece

        return Request(self.command, host, self.path, dict(self.headers.items()), length, read)

    def _send(self, reply: Reply, record: Record | None = None, cut_after: int | None = None) -> None:
        """Send an answer, counting it; at most so many bytes of its body, then raise ``ConnectionCut``."""
        pieces = iter([reply.body]) if isinstance(reply.body, bytes) else reply.body
        length = len(reply.body) if isinstance(reply.body, bytes) else reply.length
        if self.command == "HEAD" or reply.status in _NO_BODY or cut_after == 0:
            for _ in pieces:
                pass
            pieces = iter(())
        elif length is None:
            reply.headers["Transfer-Encoding"] = "chunked"
            pieces = _chunks(pieces)
        if cut_after == 0:
            raise ConnectionCut
        if record is not None:
            record.status = reply.status
        self._send_head(reply, length)
        sent = 0
        for piece in pieces:
            part = piece if cut_after is None else piece[: cut_after - sent]
            sent += len(part)
            if record is not None:
                record.response_bytes = sent
            self.wfile.write(part)
            if sent == cut_after:
                raise ConnectionCut

    def _send_head(self, reply: Reply, length: int | None) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if length is not None and reply.status not in _NO_BODY:
            self.send_header("Content-Length", str(length))
        self.end_headers()


class _Outside(_Handler):
    """What comes in unencrypted: CONNECT, and the controls."""

    def do_CONNECT(self) -> None:
        """Become the host that is asked for, or refuse."""
        host, _, port = self.path.rpartition(":")
        service = self.server.service(host) if port == "443" else None
        if service is None:
            self.close_connection = True
            self.send_error(403, "This proxy leads to the stand-in for Azure alone")
            return
        self.close_connection = True
        self.connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with self.server.tls.wrap_socket(self.connection, server_side=True) as inner:
            inner.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _Inside(inner, self.client_address, self.server, service, host)

    def do_GET(self) -> None:
        """A control."""
        # A page in a browser cannot send this header to another origin without asking first.
        if self.path.startswith("/") and self.headers.get("Packhouse-Control"):
            self._send(self.server.control.answer(self._request("control")))
        else:
            self.close_connection = True
            self.send_error(403, "This proxy leads to the stand-in for Azure alone")

    do_POST = do_DELETE = do_PUT = do_HEAD = do_GET  # noqa: N815 (the base class looks for these names)


class _Inside(_Handler):
    """What comes in for one of Azure's hosts."""

    def __init__(
        self, connection: ssl.SSLSocket, address: tuple[str, int], server: Gate, service: Service, host: str
    ) -> None:
        self._service = service
        self._host = host
        super().__init__(connection, address, server)

    def do_GET(self) -> None:
        """Any request: harmed by a fault, or carried out."""
        record = self.server.log.begin(self.command, self._host, self.path, dict(self.headers.items()))
        active = self.server.faults.strike(self.command, self._host, self.path)
        try:
            self._serve(record, active)
        except ConnectionCut:
            self._cut()
        finally:
            record.done = True

    do_POST = do_DELETE = do_PUT = do_HEAD = do_PATCH = do_OPTIONS = do_GET  # noqa: N815 (as above)

    def _serve(self, record: Record, active: ActiveFault | None) -> None:
        if active is None:
            request = self._request(self._host, record)
            reply = self._service.answer(request)
            self._drain(record, request)
            self._send(reply, record)
            return
        fault = active.fault
        record.fault = active.number
        if fault.delay:
            active.removed.wait(fault.delay)
        request = self._request(self._host, record, fault.cut_request_after)
        if fault.cut_request_after is not None or fault.status is not None:
            for _ in request.body():
                pass
            if fault.status is None:
                raise ConnectionCut
            reply = self._service.refusal(fault.status, fault.code, fault.message)
            if fault.retry_after is not None:
                reply.headers["Retry-After"] = str(fault.retry_after)
            if fault.location is not None:
                reply.headers["Location"] = fault.location
        else:
            reply = self._service.answer(request)
        self._drain(record, request)
        self._send(reply, record, fault.cut_response_after)

    @staticmethod
    def _drain(record: Record, request: Request) -> None:
        """Read what the service left of the body: the next request begins behind it."""
        while record.request_bytes < request.length:
            request.read(request.length - record.request_bytes)

    def _cut(self) -> None:
        """End the connection as a broken line ends it: no goodbye."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _chunks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """A body of unknown length as HTTP/1.1 sends it."""
    for piece in pieces:
        yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"
