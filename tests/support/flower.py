"""Flower as it is deployed: by its own configuration, as its own user of the server, behind the proxy."""

from __future__ import annotations

import base64
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from conftest import free_port
from support.farm import wait_for

FOLDER = Path(__file__).parents[2] / "deploy" / "flower"
USER = "operator"
PASSWORD = "a long password"
LOGIN = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


class Flower:
    """A Flower on loopback. ``environment`` is that of a worker, with the address that Flower's user has."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.port = free_port()
        self.log = folder / "flower.log"
        login = folder / "flower-basic-auth"
        login.write_text(f"{USER}:{PASSWORD}\n", "utf-8")
        places = {"FLOWER_BASIC_AUTH_FILE": str(login), "FLOWER_DB": str(folder / "flower-db")}
        self._environment = {**environment, **places}
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it asks for a password."""
        command = [sys.executable, "-m", "celery", "-A", "packhouse.worker.app", "flower"]
        options = [f"--conf={FOLDER / 'flowerconfig.py'}", f"--port={self.port}", "--address=127.0.0.1"]
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [*command, *options], env=self._environment, stdout=out, stderr=out, cwd=self.folder
            )
        wait_for(lambda: status_of(f"{self.url}/") == 401, what=f"Flower to ask for a password: {self.log}")

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)


@contextmanager
def proxy(folder: Path, upstream: int) -> Generator[str]:
    """The address of the deployments' proxy before that port."""
    port = free_port()
    text = (FOLDER / "nginx.conf").read_text("utf-8")
    text = text.replace("127.0.0.1:5555", f"127.0.0.1:{upstream}").replace("8080", f"127.0.0.1:{port}")
    (folder / "nginx.conf").write_text(text.replace("/tmp/", f"{folder}/"), "utf-8")
    process = subprocess.Popen(["nginx", "-c", str(folder / "nginx.conf"), "-g", "daemon off;"])
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: status_of(f"{url}/"), seconds=20, what="the proxy")
        yield url
    finally:
        process.terminate()
        process.wait(10)


def status_of(request: str | urllib.request.Request, *, password: bool = False) -> int:
    """The status of an answer; 0 where there is none."""
    if isinstance(request, str):
        request = urllib.request.Request(request)
    if password:
        request.add_header("Authorization", LOGIN)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0
