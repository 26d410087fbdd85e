from __future__ import annotations

import hashlib
import os
import random
import subprocess
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from packhouse.schemas.errors import ErrorCode, PermanentError, TransientError
from packhouse.worker.storage.deflating import worth_deflating, worth_deflating_bytes
from packhouse.worker.storage.digest import FileDigest
from packhouse.worker.storage.local import OpenFile
from packhouse.worker.storage.sink import FileSink
from packhouse.worker.storage.zip_writer import CHUNK, ZipWriter

NOISE = random.Random(1).randbytes(3 * CHUNK + 12_345)
TEXT = b"".join(b'{"line": %d, "name": "weight"}\n' % number for number in range(120_000))


def written(folder: Path, fill: Callable[[ZipWriter], None], name: str = "p.zip") -> Path:
    path = folder / name
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        writer = ZipWriter(FileSink(fd))
        fill(writer)
        assert writer.finish() == os.fstat(fd).st_size
    finally:
        os.close(fd)
    return path


def add_file(writer: ZipWriter, path: str, source: Path, **options: object) -> FileDigest:
    fd = os.open(source, os.O_RDONLY)
    try:
        return writer.add_file(path, OpenFile.of(fd, "", path), **options)  # pyright: ignore[reportArgumentType]
    finally:
        os.close(fd)


def unzip_approves(path: Path) -> str:
    done = subprocess.run(["unzip", "-t", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def content(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {info.filename: archive.read(info) for info in archive.infolist()}


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Path]:
    made = {"noise": NOISE, "text": TEXT, "small": b"small", "empty": b""}
    for name, data in made.items():
        (tmp_path / name).write_bytes(data)
    return {name: tmp_path / name for name in made}


def everything(sources: dict[str, Path]) -> Callable[[ZipWriter], None]:
    def fill(writer: ZipWriter) -> None:
        for name, source in sources.items():
            add_file(writer, f"stored/{name}", source)
            add_file(writer, f"deflated/{name}", source, deflate=True)
        writer.add_bytes("a.json", b'{"a": 1}' * 100, deflate=True)
        writer.add_bytes("ä/ü.json", b"{}")

    return fill


def test_every_reader_gets_back_what_was_put_in(tmp_path: Path, sources: dict[str, Path]) -> None:
    path = written(tmp_path, everything(sources))
    expected = {
        f"{how}/{name}": source.read_bytes() for name, source in sources.items() for how in ("stored", "deflated")
    }
    assert content(path) == {**expected, "a.json": b'{"a": 1}' * 100, "ä/ü.json": b"{}"}
    assert "No errors" in unzip_approves(path)


def test_entries_carry_nothing_of_time_place_or_person(tmp_path: Path, sources: dict[str, Path]) -> None:
    with zipfile.ZipFile(written(tmp_path, everything(sources))) as archive:
        for info in archive.infolist():
            assert info.date_time == (1980, 1, 1, 0, 0, 0)
            assert info.external_attr == 0o100644 << 16
            assert info.create_system == 3
            assert info.flag_bits == (0x800 if info.filename == "ä/ü.json" else 0)
            assert info.extra == b""
            method = zipfile.ZIP_DEFLATED if info.filename.startswith(("deflated", "a.json")) else zipfile.ZIP_STORED
            assert info.compress_type == method


def test_local_headers_are_complete_and_no_data_descriptor_follows(tmp_path: Path, sources: dict[str, Path]) -> None:
    path = written(tmp_path, everything(sources))
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        at = 0
        for info in archive.infolist():
            assert info.header_offset == at
            assert data[at : at + 4] == b"PK\x03\x04"
            assert int.from_bytes(data[at + 14 : at + 18], "little") == info.CRC
            assert int.from_bytes(data[at + 18 : at + 22], "little") == info.compress_size
            assert int.from_bytes(data[at + 22 : at + 26], "little") == info.file_size
            at += 30 + len(info.filename.encode()) + info.compress_size
        assert archive.start_dir == at


def test_the_same_entries_give_the_same_bytes(tmp_path: Path, sources: dict[str, Path]) -> None:
    first = written(tmp_path, everything(sources), "1.zip")
    for source in sources.values():
        os.utime(source, (1, 1))
    assert first.read_bytes() == written(tmp_path, everything(sources), "2.zip").read_bytes()


def test_texts_are_deflated_by_zlib_whose_bytes_are_the_same_in_every_process(tmp_path: Path) -> None:
    text = b'{"metrics": {"accuracy": {"value": 0.89, "priority": 1}}}' * 3

    def fill(writer: ZipWriter) -> None:
        writer.add_bytes("a.json", text, deflate=True)

    archive = written(tmp_path, fill)
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    assert archive.read_bytes()[36:].startswith(packer.compress(text) + packer.flush())


def test_how_much_the_system_reads_and_writes_at_a_time_changes_nothing(
    tmp_path: Path, sources: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = written(tmp_path, everything(sources), "1.zip").read_bytes()
    read, write, chance = os.preadv, os.pwrite, random.Random(2)

    def short_read(fd: int, buffers: list[memoryview], at: int) -> int:
        return read(fd, [buffers[0][: chance.randint(1, 300_000)]], at)

    def short_write(fd: int, data: memoryview, at: int) -> int:
        return write(fd, data[: chance.randint(1, 300_000)], at)

    monkeypatch.setattr(os, "preadv", short_read)
    monkeypatch.setattr(os, "pwrite", short_write)
    assert written(tmp_path, everything(sources), "2.zip").read_bytes() == first


def test_digests_are_those_of_the_bytes_and_known_ones_save_computing_them(
    tmp_path: Path, sources: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[FileDigest] = []

    def fill(writer: ZipWriter) -> None:
        for name, source in sources.items():
            known = found[len(seen)] if len(found) == len(sources) else None
            seen.append(add_file(writer, name, source, known=known))

    seen: list[FileDigest] = []
    first = written(tmp_path, fill, "1.zip").read_bytes()
    for source, digest in zip(sources.values(), seen, strict=True):
        data = source.read_bytes()
        assert digest == FileDigest(hashlib.sha256(data).hexdigest(), zlib.crc32(data), len(data))
        assert digest == FileDigest.of(data)
    found, seen = seen, []
    hashed: list[int] = []
    monkeypatch.setattr("packhouse.worker.storage.digest.Hasher.update", lambda _, chunk: hashed.append(len(chunk)))
    assert written(tmp_path, fill, "2.zip").read_bytes() == first
    assert hashed == []


def test_progress_adds_up_to_the_source(tmp_path: Path, sources: dict[str, Path]) -> None:
    counts: list[int] = []
    written(
        tmp_path, lambda writer: add_file(writer, "n", sources["noise"], deflate=True, advance=counts.append) and None
    )
    assert sum(counts) == len(NOISE)
    assert len(counts) == 4


def test_work_that_is_called_off_stops_at_the_next_chunk(tmp_path: Path, sources: dict[str, Path]) -> None:
    def lost(_: int) -> None:
        raise TransientError(ErrorCode.LEASE_LOST, "The lease is lost.", fix="None.")

    fd = os.open(tmp_path / "p.zip", os.O_RDWR | os.O_CREAT)
    try:
        with pytest.raises(TransientError):
            add_file(ZipWriter(FileSink(fd)), "noise", sources["noise"], advance=lost)
        assert os.fstat(fd).st_size < 2 * CHUNK
    finally:
        os.close(fd)


@pytest.mark.parametrize("difference", [-1, 1, -CHUNK, CHUNK])
def test_a_source_of_another_size_than_announced_has_changed(tmp_path: Path, difference: int) -> None:
    (tmp_path / "m").write_bytes(NOISE)

    def fill(writer: ZipWriter) -> None:
        fd = os.open(tmp_path / "m", os.O_RDONLY)
        try:
            opened = OpenFile.of(fd, "", "/engine/m")
            writer.add_file("m", replace(opened, size=len(NOISE) + difference))
        finally:
            os.close(fd)

    with pytest.raises(PermanentError, match="/engine/m changed") as caught:
        written(tmp_path, fill)
    assert caught.value.code is ErrorCode.MODEL_CHANGED


@pytest.mark.parametrize("how", ["shrink", "grow", "rewrite"])
def test_a_source_that_is_written_to_meanwhile_has_changed(tmp_path: Path, how: str) -> None:
    source = tmp_path / "m"
    source.write_bytes(NOISE)
    os.utime(source, (1, 1))

    def meddle(_: int) -> None:
        if how == "shrink":
            os.truncate(source, CHUNK + 1)
        elif how == "grow":
            with source.open("ab") as file:
                file.write(b"more")
        else:
            with source.open("r+b") as file:
                file.write(b"other")

    with pytest.raises(PermanentError) as caught:
        written(tmp_path, lambda writer: add_file(writer, "m", source, advance=meddle) and None)
    assert caught.value.code is ErrorCode.MODEL_CHANGED


def test_known_digests_of_another_size_mean_that_the_source_has_changed(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b"new bytes")
    with pytest.raises(PermanentError) as caught:
        written(tmp_path, lambda w: add_file(w, "m", tmp_path / "m", known=FileDigest.of(b"old")) and None)
    assert caught.value.code is ErrorCode.MODEL_CHANGED


def test_storage_that_fails_while_reading_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m").write_bytes(NOISE)

    def failing(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "preadv", failing)
    with pytest.raises(TransientError) as caught:
        written(tmp_path, lambda writer: add_file(writer, "m", tmp_path / "m") and None)
    assert caught.value.code is ErrorCode.STORAGE_ERROR


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/\\"), min_size=1, max_size=20),
        st.tuples(st.binary(max_size=300), st.booleans()),
        max_size=12,
    )
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_names_and_bytes_come_back(tmp_path: Path, entries: dict[str, tuple[bytes, bool]]) -> None:
    def fill(writer: ZipWriter) -> None:
        for name, (data, deflate) in entries.items():
            writer.add_bytes(name, data, deflate=deflate)

    assert content(written(tmp_path, fill)) == {name: data for name, (data, _) in entries.items()}


def test_deflating_is_worth_it_where_it_saves_15_percent(tmp_path: Path) -> None:
    half = b"".join(NOISE[at : at + 512] + bytes(512) for at in range(0, len(NOISE), 512))
    cases = {
        "noise": (NOISE, False),
        "text": (TEXT, True),
        "half": (half, True),
        "empty": (b"", False),
        "x": (b"x", False),
    }
    for name, (data, worth) in cases.items():
        (tmp_path / name).write_bytes(data)
        fd = os.open(tmp_path / name, os.O_RDONLY)
        try:
            assert worth_deflating(OpenFile.of(fd, "", name)) is worth, name
        finally:
            os.close(fd)
        assert worth_deflating_bytes(data) is worth


def test_the_sample_is_spread_over_the_whole_file(tmp_path: Path) -> None:
    source = tmp_path / "m"
    with source.open("wb") as file:
        file.write(bytes(256 * 1024))
        for _ in range(8):
            file.write(NOISE)
    fd = os.open(source, os.O_RDONLY)
    try:
        assert not worth_deflating(OpenFile.of(fd, "", "m"))
    finally:
        os.close(fd)


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.parametrize("deflate", [False, True])
def test_entries_and_offsets_beyond_4_gib_use_zip64(tmp_path: Path, deflate: bool) -> None:
    size = (1 << 32) + 5
    source = tmp_path / "sparse"
    with source.open("wb") as file:
        file.truncate(size)
    known = FileDigest("0" * 64, 0, size)

    def fill(writer: ZipWriter) -> None:
        writer.add_bytes("before", b"before")
        add_file(writer, "large", source, deflate=deflate, known=known)
        writer.add_bytes("after", b"after")

    monkey = pytest.MonkeyPatch()
    if not deflate:
        monkey.setattr(os, "pwrite", _sparsely(os.pwrite))
    try:
        path = written(tmp_path, fill)
    finally:
        monkey.undo()
    try:
        with zipfile.ZipFile(path) as archive:
            large, after = archive.getinfo("large"), archive.getinfo("after")
            assert large.file_size == size
            assert (large.compress_size == size) is not deflate
            assert (after.header_offset > 1 << 32) is not deflate
            assert archive.read("after") == b"after"
            assert large.extract_version == 45
        listing = subprocess.run(["zipinfo", str(path)], capture_output=True, text=True, check=True).stdout
        assert str(size) in listing
        for name in ("before", "after"):
            assert (
                subprocess.run(["unzip", "-p", str(path), name], capture_output=True, check=True).stdout
                == name.encode()
            )
    finally:
        path.unlink()
        source.unlink()


@pytest.mark.slow
def test_more_than_65535_entries_use_zip64(tmp_path: Path) -> None:
    def fill(writer: ZipWriter) -> None:
        for number in range(70_000):
            writer.add_bytes(f"f/{number}", b"%d" % number)

    path = written(tmp_path, fill)
    with zipfile.ZipFile(path) as archive:
        assert len(archive.infolist()) == 70_000
        assert archive.read("f/69999") == b"69999"
    unzip_approves(path)


@pytest.mark.parametrize("count", [65_534, 65_535])
def test_the_number_of_entries_at_which_zip64_begins_is_read_right(tmp_path: Path, count: int) -> None:
    def fill(writer: ZipWriter) -> None:
        for number in range(count):
            writer.add_bytes(str(number), b"")

    path = written(tmp_path, fill)
    assert (b"PK\x06\x06" in path.read_bytes()[-200:]) is (count == 65_535)
    with zipfile.ZipFile(path) as archive:
        assert len(archive.namelist()) == count


def _sparsely(pwrite: Callable[[int, memoryview, int], int]) -> Callable[[int, memoryview, int], int]:
    """Leave zeros out of the file: a test of sizes need not write four gigabytes."""
    zeros = bytes(CHUNK)

    def write(fd: int, data: memoryview, at: int) -> int:
        return len(data) if len(data) == CHUNK and data.tobytes() == zeros else pwrite(fd, data, at)

    return write
