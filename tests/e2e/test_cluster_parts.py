"""Parts of the deployments that come from others, as Debian has them: Redis with TLS, and the proxy before Flower."""

from __future__ import annotations

import http.client
import http.server
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import free_port
from support.acl import GuardedServer
from support.farm import Farm, RunMaker, quick, wait_for
from support.manifests import DEPLOY

from packhouse.producers import StatusFeed, publish
from packhouse.schemas import CompletedEvent
from packhouse.schemas.keys import DEFAULT_NAMESPACE

pytestmark = [pytest.mark.full]


def certificates(folder: Path) -> None:
    """An authority and a certificate of it for loopback: ca.crt, tls.crt, tls.key."""
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    subprocess.run(
        [*new, "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.crt"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-keyout", "tls.key", "-out", "tls.crt", "-subj", "/CN=server"]
    extensions = ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE"]
    subprocess.run([*new, *signed, *extensions], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GuardedServer]:
    certificates(tmp_path)
    options = ["--tls-cert-file", "tls.crt", "--tls-key-file", "tls.key", "--tls-ca-cert-file", "ca.crt"]
    options = [str(tmp_path / one) if one.endswith(("crt", "key")) else one for one in options]
    guarded = GuardedServer(
        tmp_path / "guarded",
        free_port(),
        "redis-server",
        [*options, "--tls-auth-clients", "no"],
        # What the README tells to put behind the address, with the authority of this test.
        tls=f"?ssl_cert_reqs=required&ssl_ca_certs={tmp_path / 'ca.crt'}",
        lacks=("waitaof", "client|setinfo"),
    )
    guarded.wait()
    yield guarded
    guarded.stop()


def test_workers_and_engines_speak_tls_with_a_server_of_an_authority_of_ones_own(
    server: GuardedServer, tmp_path: Path, data: Path
) -> None:
    farm = Farm(quick(server.url("worker"), DEFAULT_NAMESPACE, tmp_path), tmp_path)
    try:
        farm.start()
        event = RunMaker(tmp_path, data)("run-1")
        publish(event, server.url("engine"))
        with StatusFeed(server.url("engine")) as feed:
            final = feed.wait(event.run, timeout=60)
        assert isinstance(final, CompletedEvent)
        assert final.data.state == "succeeded"
        assert farm.workers[0].stop() == 0
    finally:
        farm.close()


class Flower(http.server.BaseHTTPRequestHandler):
    """Says what was asked for."""

    def do_GET(self) -> None:
        body = f"{self.path} of {self.headers['Host']}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Say nothing."""


def test_the_proxy_lets_everything_through_but_what_flower_tells_without_a_password(tmp_path: Path) -> None:
    upstream = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Flower)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    port = free_port()
    text = (DEPLOY / "flower" / "nginx.conf").read_text("utf-8")
    text = text.replace("127.0.0.1:5555", f"127.0.0.1:{upstream.server_port}").replace("8080", f"127.0.0.1:{port}")
    (tmp_path / "nginx.conf").write_text(text.replace("/tmp/", f"{tmp_path}/"))
    proxy = subprocess.Popen(["nginx", "-c", str(tmp_path / "nginx.conf"), "-g", "daemon off;"])

    def get(path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            return 0, ""
        finally:
            connection.close()

    try:
        wait_for(lambda: get("/")[0] == 200, seconds=20, what="the proxy")
        assert get("/tasks?x=1") == (200, f"/tasks?x=1 of 127.0.0.1:{port}")
        for path in (
            "/metrics",
            "/healthcheck",
            "//metrics",
            "/./metrics",
            "/%6detrics",
            "/metrics?x",
            "/a/../metrics",
        ):
            assert get(path)[0] == 404, path
    finally:
        proxy.terminate()
        proxy.wait(10)
        upstream.shutdown()
        upstream.server_close()
