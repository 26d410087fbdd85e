"""How writing a ZIP compares with copying the same file: ratios within one run, the two taken turn about."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from packhouse.worker.storage.digest import FileDigest
from packhouse.worker.storage.local import OpenFile
from packhouse.worker.storage.sink import FileSink
from packhouse.worker.storage.zip_writer import ZipWriter

MIB = 1 << 20
SIZE = int(os.environ.get("PACKHOUSE_BENCH_MIB", "1024")) * MIB
PAIRS = 5


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("zip") / "weights.bin"
    block = os.urandom(16 * MIB)
    with path.open("wb") as file:
        for _ in range(SIZE // len(block)):
            file.write(block)
        os.fsync(file.fileno())
    return path


def used() -> float:
    """CPU seconds of this process and of those it has waited for."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def timed(action: Callable[[], object], written: Path) -> tuple[float, float]:
    """Seconds by the clock and of CPU; what was written is on disk and gone before the next one begins."""
    wall, cpu = time.perf_counter(), used()
    action()
    taken = time.perf_counter() - wall, used() - cpu
    fd = os.open(written, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
    written.unlink()
    return taken


def zipped(source: Path, target: Path, *, deflate: bool, known: FileDigest | None) -> FileDigest:
    out, fd = os.open(target, os.O_RDWR | os.O_CREAT), os.open(source, os.O_RDONLY)
    try:
        writer = ZipWriter(FileSink(out))
        digest = writer.add_file("weights.bin", OpenFile.of(fd, "", "weights.bin"), deflate=deflate, known=known)
        writer.finish()
    finally:
        os.close(out)
        os.close(fd)
    return digest


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("way", ["stored, digests known", "stored, first sight", "deflated, first sight"])
def test_zip_against_a_copy(weights: Path, way: str) -> None:
    copy, archive = weights.with_name("copy"), weights.with_name("p.zip")
    known = zipped(weights, archive, deflate=False, known=None) if way.endswith("known") else None
    archive.unlink(missing_ok=True)
    wall: list[float] = []
    cpu: list[float] = []
    for _ in range(PAIRS):
        copied = timed(lambda: subprocess.run(["cp", "--reflink=never", weights, copy], check=True), copy)
        made = timed(lambda: zipped(weights, archive, deflate=way.startswith("deflated"), known=known), archive)
        wall.append(made[0] / copied[0])
        cpu.append(made[1] / copied[1])
    print(  # noqa: T201 (to say it is what a benchmark is for)
        f"\n{SIZE // MIB} MiB, {way}: {statistics.median(wall):.2f} times cp by the clock "
        f"({min(wall):.2f} to {max(wall):.2f}), {statistics.median(cpu):.2f} times its CPU"
    )
