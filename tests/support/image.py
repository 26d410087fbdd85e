"""Builds our image without a builder: the very steps of the Dockerfile, run in a Debian of the same release.

Root alone can do that. The Debian comes from ``debootstrap``; the official base image differs from it in where Python
lies and in what else is installed.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from support.cache import cached
from support.dockerfile import Stage, Step, read_dockerfile
from support.farm import wait_for

PROJECT = Path(__file__).parents[2]
DOCKERFILE = PROJECT / "deploy" / "docker" / "Dockerfile"

_BASE = "python:3.11-slim-bookworm"
_AUTHORITIES = "run/authorities.crt"


def base_system() -> Path:
    """A Debian with the release and the Python of the base image, kept in the cache of the tests."""
    assert os.geteuid() == 0, "only root can unpack a Debian and change into it: run this test as root"

    def make(folder: Path) -> None:
        wanted = "--include=python3,python3-venv,ca-certificates"
        ended = subprocess.run(
            ["debootstrap", "--variant=minbase", wanted, "bookworm", str(folder)],
            capture_output=True, text=True, timeout=900, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, f"debootstrap: {ended.stdout[-3000:]}{ended.stderr[-1000:]}"
        shutil.rmtree(folder / "var/cache/apt")

    return cached("debian/bookworm-python", make)


@dataclass
class Image:
    """A built image: its root file system and the last stage of its Dockerfile."""

    root: Path
    stage: Stage
    done: list[str]
    """The steps that were run, as the Dockerfile has them."""


def build(folder: Path, context: Path, arguments: Mapping[str, str] | None = None) -> Image:
    """Run all steps of all stages, each in a copy of the base system."""
    stages = read_dockerfile(DOCKERFILE, dict(arguments or {}))
    roots: dict[str, Path] = {}
    done: list[str] = []
    for number, stage in enumerate(stages):
        assert stage.base == _BASE, "the Debian stands in for one base image only"
        root = folder / f"stage-{number}"
        subprocess.run(["cp", "-a", "--reflink=auto", str(base_system()), str(root)], check=True)
        roots[stage.name or ""] = root
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        place = "/"
        for step in stage.steps:
            if step.word == "ENV":
                environment |= dict(pair.split("=", 1) for pair in step.words)
            elif step.word == "WORKDIR":
                place = step.text
                (root / place.lstrip("/")).mkdir(parents=True, exist_ok=True)
            elif step.word == "COPY":
                _copy(step, roots[step.flags["from"]] if "from" in step.flags else context, root, place)
            elif step.word == "RUN":
                _run(root, place, environment, step.text)
            else:
                continue
            done.append(f"{step.word} {step.text}")
    return Image(roots[""], stages[-1], done)


def _copy(step: Step, source: Path, root: Path, place: str) -> None:
    *names, target = step.words
    into = root / (Path(place) / target).as_posix().lstrip("/")
    for name in names:
        found = source / name.lstrip("/")
        if found.is_dir():
            # As COPY does it: the content of the folder, not the folder.
            into.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "-a", "--no-preserve=ownership", f"{found}/.", str(into)], check=True)
        else:
            shutil.copy2(found, into / found.name if target.endswith("/") else into)


def _run(root: Path, place: str, environment: Mapping[str, str], command: str) -> None:
    # pip gets its packages from where it gets them here; none of that stays in the image.
    with _network(root) as configured:
        variables = [f"{name}={value}" for name, value in {**configured, **environment}.items()]
        script = f"cd {shlex.quote(place)} && {command}"
        ended = subprocess.run(
            ["chroot", str(root), "env", "-i", *variables, "/bin/sh", "-c", script],
            capture_output=True, text=True, timeout=1500, check=False,
        )  # fmt: skip
    assert ended.returncode == 0, f"RUN {command}\n{ended.stdout[-3000:]}\n{ended.stderr[-3000:]}"


@contextmanager
def _network(root: Path) -> Generator[dict[str, str]]:
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    configured = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        option = name.rpartition(".")[2]
        if option in {"index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "default-timeout"}:
            configured[f"PIP_{option.replace('-', '_').upper()}"] = " ".join(value.strip("'").split("\\n"))
        elif option == "cert":
            shutil.copy(value.strip("'"), root / _AUTHORITIES)
            configured["PIP_CERT"] = f"/{_AUTHORITIES}"
    given = [Path("/etc/resolv.conf"), Path("/etc/hosts")]
    for file in given:
        shutil.copy(file, root / file.relative_to("/"))
    try:
        yield configured
    finally:
        for path in (_AUTHORITIES, *(file.relative_to("/") for file in given)):
            (root / path).unlink(missing_ok=True)


class Container:
    """A process of an image as Kubernetes would run it.

    The root file system is read-only and there is no /tmp to write to; the user is the image's; no capability is held
    or can be got; it has a process-id namespace of its own. The network is that of this machine.
    """

    def __init__(
        self, image: Image, mounts: Mapping[Path, str], environment: Mapping[str, str], log: Path, *command: str
    ) -> None:
        stage = image.stage
        user, _, group = stage.last("USER").text.partition(":")
        self._environment = {**stage.environment(), **environment}
        self._privileges = [
            "setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--no-new-privs", "--bounding-set=-all",
            "--inh-caps=-all",
        ]  # fmt: skip
        root = shlex.quote(str(image.root))
        lines = [f"mount --bind {root} {root}", f"mount -o remount,bind,ro {root}"]
        for volume in stage.last("VOLUME").words:
            lines += [f"mount -t tmpfs -o uid={user},gid={group},mode=0700 tmpfs {root}{volume}"]
        lines += [f"mount --bind {shlex.quote(str(source))} {root}{target}" for source, target in mounts.items()]
        lines += [f"mount -t proc proc {root}/proc", f"mount --rbind /dev {root}/dev"]
        for target in mounts.values():
            (image.root / target.lstrip("/")).mkdir(parents=True, exist_ok=True)
        lines += [f"exec chroot {root} {shlex.join(self._inside(stage.last('WORKDIR').text, command))}"]
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-euc", "\n".join(lines)],
                stdout=out, stderr=out, stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def _inside(self, place: str, command: Sequence[str]) -> list[str]:
        variables = [f"{name}={value}" for name, value in self._environment.items()]
        return [*self._privileges, "env", "-i", f"--chdir={place}", *variables, *command]

    @property
    def main(self) -> psutil.Process:
        """Its first process."""
        return wait_for(psutil.Process(self.process.pid).children, what="the first process")[0]

    def exec(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside, as `kubectl exec` and probes do."""
        enter = ["nsenter", "--target", str(self.main.pid), "--mount", "--pid", "--root", "--wd"]
        return subprocess.run(
            [*enter, *self._inside("/", command)], capture_output=True, text=True, timeout=60, check=False
        )

    def stop(self, seconds: float) -> int:
        """SIGTERM to the first process, and its exit status, which unshare hands on."""
        self.main.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill(self) -> None:
        """End it at once; its processes end with the first one."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
