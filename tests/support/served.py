"""A small HTTP server on loopback whose files a test puts there, and whose faults it chooses."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self, cast

from support.farm import wait_for

Fault = Literal["outage", "refused", "corrupt", "truncated", "hang", "elsewhere", "moved"]


@dataclass
class Served:
    """``with Served() as web: web.files["/a"] = b"…"``. Requests are noted; the first fault that fits decides."""

    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)
    """End of a path to what goes wrong there; the empty end is every path."""
    requests: list[str] = field(default_factory=list)
    authorized: list[str | None] = field(default_factory=list)
    """The ``Authorization`` of each request."""

    def __post_init__(self) -> None:
        self.go_on = threading.Event()
        """What hangs is answered when this is set."""
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def asked(self, ending: str) -> int:
        """How many requests there were for paths that end so."""
        return sum(path.endswith(ending) for path in list(self.requests))

    def wait_asked(self, ending: str, count: int = 1) -> None:
        wait_for(lambda: self.asked(ending) >= count, what=f"{count} requests for {ending}")

    def fault_of(self, path: str) -> Fault | None:
        return next((fault for ending, fault in self.faults.items() if path.endswith(ending)), None)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, served: Served) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.served = served

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        served = cast("_Server", self.server).served
        path = self.path
        served.requests.append(path)
        served.authorized.append(self.headers.get("Authorization"))
        fault = served.fault_of(path)
        data = served.files.get(path)
        if fault == "outage":
            self._answer(503, b"busy")
        elif fault == "refused":
            self._answer(403, b"no")
        elif fault == "elsewhere":
            self._go("http://elsewhere.invalid/")
        elif fault == "moved":
            served.files[path + "?moved"] = served.files[path]
            self._go(path + "?moved")
        elif data is None:
            self._answer(404, b"not here")
        else:
            self._send(data, fault, served)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Quiet."""

    def _send(self, data: bytes, fault: Fault | None, served: Served) -> None:
        if fault == "corrupt":
            middle = len(data) // 2
            data = data[:middle] + bytes(255 - byte for byte in data[middle : middle + 64]) + data[middle + 64 :]
        half = len(data) // 2
        self._head(200, len(data))
        if fault == "hang":
            self.wfile.write(data[:half])
            self.wfile.flush()
            served.go_on.wait(60)
            self.wfile.write(data[half:])
        else:
            self.wfile.write(data[:half] if fault == "truncated" else data)

    def _answer(self, status: int, text: bytes) -> None:
        self._head(status, len(text))
        self.wfile.write(text)

    def _go(self, address: str) -> None:
        self.send_response(302)
        self.send_header("Location", address)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _head(self, status: int, length: int) -> None:
        self.send_response(status)
        kind = "text/html" if self.path.endswith("/") else "application/octet-stream"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.end_headers()
