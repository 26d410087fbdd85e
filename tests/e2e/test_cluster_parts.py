"""Redis with TLS, as Debian has it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import free_port
from support.acl import GuardedServer
from support.farm import Farm, RunMaker, quick

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
