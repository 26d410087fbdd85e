"""What the ZIP writer writes, unpacked by the readers of Java and .NET."""

from __future__ import annotations

import os
import random
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from isal import isal_zlib
from support.dotnet import Compiler, run_dotnet

from packhouse.worker.storage.digest import FileDigest
from packhouse.worker.storage.local import OpenFile
from packhouse.worker.storage.sink import FileSink
from packhouse.worker.storage.zip_writer import CHUNK, ZipWriter

READERS = Path(__file__).parents[2] / "support" / "readers"
OVER_4_GIB = (1 << 32) + 5
ZEROS = memoryview(bytes(16 * CHUNK))

pytestmark = pytest.mark.full

Reader = Callable[[Path], list[str]]


def of_java(how: str) -> Reader:
    def read(archive: Path) -> list[str]:
        command = ["java", "-Xmx256m", str(READERS / "Read.java"), how, str(archive)]
        return subprocess.run(
            command, capture_output=True, encoding="utf-8", check=True, timeout=600
        ).stdout.splitlines()

    return read


def of_dotnet(archive: Path) -> list[str]:
    program = archive.parent / "reader" / "Read.dll"
    program.parent.mkdir()
    with Compiler() as compiler:
        assert compiler.program([READERS / "Read.cs"], program) == []
    done = run_dotnet(program, str(archive), timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


ALL: dict[str, Reader] = {"java": of_java("file"), "java, as it comes": of_java("stream"), "dotnet": of_dotnet}


class Written:
    """An archive in the making, and what a reader should say of it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "p.zip"
        self.lines: list[str] = []
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT)
        self._writer = ZipWriter(FileSink(self._fd))

    def add(self, name: str, data: bytes, *, deflate: bool = False) -> None:
        self._writer.add_bytes(name, data, deflate=deflate)
        self.lines.append(f"{name} {len(data)} {zlib.crc32(data):08x}")

    def add_file(self, name: str, source: Path, *, deflate: bool = False, known: FileDigest | None = None) -> None:
        fd = os.open(source, os.O_RDONLY)
        try:
            digest = self._writer.add_file(name, OpenFile.of(fd, "", name), deflate=deflate, known=known)
        finally:
            os.close(fd)
        self.lines.append(f"{name} {digest.size} {digest.crc32:08x}")

    def finish(self) -> Path:
        self._writer.finish()
        os.close(self._fd)
        return self.path


@pytest.mark.parametrize("reader", ALL)
def test_stored_and_deflated_files_of_all_sizes_and_names_come_back(tmp_path: Path, reader: str) -> None:
    written = Written(tmp_path)
    noise = random.Random(7).randbytes(2 * CHUNK + 77)
    source = tmp_path / "source"
    source.write_bytes(noise)
    written.add("empty", b"")
    written.add("ä/ü 模型.json", b"{}")
    written.add("text", b"a line of text\n" * 100_000, deflate=True)
    written.add_file("stored", source)
    written.add_file("deflated", source, deflate=True)
    assert ALL[reader](written.finish()) == written.lines


@pytest.mark.parametrize("reader", ALL)
def test_more_entries_than_sixteen_bits_can_count_come_back(tmp_path: Path, reader: str) -> None:
    written = Written(tmp_path)
    for number in range(66_000):
        written.add(f"f/{number}", b"%d" % number)
    assert ALL[reader](written.finish()) == written.lines


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Written]:
    """A file of more than 4 GiB, and one behind it."""
    folder = tmp_path_factory.mktemp("large")
    source = folder / "sparse"
    with source.open("wb") as file:
        file.truncate(OVER_4_GIB)
    written, crc = Written(folder), 0
    for at in range(0, OVER_4_GIB, len(ZEROS)):
        crc = isal_zlib.crc32(ZEROS[: OVER_4_GIB - at], crc)
    written.add_file("large", source, deflate=True, known=FileDigest("0" * 64, crc, OVER_4_GIB))
    source.unlink()
    written.add("after", b"after")
    written.finish()
    yield written
    written.path.unlink()


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("reader", ["java", "dotnet"])
def test_a_file_of_more_than_4_gib_and_what_lies_behind_it_come_back(large: Written, reader: str) -> None:
    assert ALL[reader](large.path) == large.lines
