"""The server as `deploy/redis` starts it, with its users."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from redis import Redis
from redis.exceptions import RedisError

FOLDER = Path(__file__).parents[2] / "deploy" / "redis"
USERS = ("engine", "worker", "operator", "flower", "scaler")


class GuardedServer:
    """A server with the configuration, access list and start script of the deployments, on loopback."""

    def __init__(
        self,
        folder: Path,
        port: int,
        program: str,
        options: Sequence[str] = (),
        *,
        tls: str = "",
        lacks: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.port = port
        self.tls = tls
        secrets, data, run = (folder / name for name in ("secrets", "data", "run"))
        for made in (secrets, data, run):
            made.mkdir(parents=True)
        self.passwords: Mapping[str, str] = {user: f"{user}:p@ss/wörd #{os.urandom(4).hex()}" for user in USERS}
        for user, password in self.passwords.items():
            (secrets / f"redis-{user}-password").write_text(f"{password}\n", "utf-8")
        conf = FOLDER
        if lacks:
            # An older server does not start with commands in the list that it does not know.
            conf = folder / "conf"
            shutil.copytree(FOLDER, conf)
            text = (conf / "users.acl").read_text("utf-8")
            for command in lacks:
                text = text.replace(f" +{command}", "")
            (conf / "users.acl").write_text(text, "utf-8")
        places = {
            "PACKHOUSE_REDIS_CONF": str(conf),
            "PACKHOUSE_REDIS_PASSWORDS": str(secrets),
            "PACKHOUSE_REDIS_RUN": str(run),
            "PACKHOUSE_REDIS_DATA": str(data),
            "REDIS_SERVER": program,
        }
        listen = ["--tls-port", str(port), "--port", "0", *options] if tls else ["--port", str(port), *options]
        self.log = folder / "server.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["sh", str(FOLDER / "start.sh"), "--bind", "127.0.0.1", *listen],
                env=os.environ | places, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def url(self, user: str) -> str:
        """The address with a user's name and password."""
        scheme = "rediss" if self.tls else "redis"
        return f"{scheme}://{user}:{quote(self.passwords[user], safe='')}@127.0.0.1:{self.port}/0{self.tls}"

    def client(self, user: str) -> Redis:
        return Redis.from_url(self.url(user), decode_responses=True)

    def wait(self) -> None:
        deadline = time.monotonic() + 20
        with self.client("worker") as client:
            while True:
                try:
                    client.ping()
                except RedisError:
                    assert self.process.poll() is None, self.log.read_text()
                    assert time.monotonic() < deadline, self.log.read_text()
                    time.sleep(0.05)
                else:
                    return

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)
