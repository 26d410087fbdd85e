"""Archives made to do harm: ``packhouse verify`` names what is wrong, in bounded time and memory."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.verifying import checks, failed, run

MIB = 1024 * 1024
DIRECTORY = struct.Struct("<4s4B4HL2L5H2L")
MEMORY = 400 * MIB
"""Address space of a verification that has 16 MiB of directory to read; Python alone takes half of it."""


def bounded(package: Path, memory: int = MEMORY) -> dict[str, Any]:
    """What a verification prints whose memory is limited."""
    code = (
        "import resource, sys; from packhouse.worker.verify.run import verify; from pathlib import Path\n"
        "class Silent:\n"
        "    def stage(self, name, total): pass\n"
        "    def advance(self, count): pass\n"
        "most = int(sys.argv[2]); resource.setrlimit(resource.RLIMIT_AS, (most, most))\n"
        "print(verify(Path(sys.argv[1]), shown='x', watcher=Silent()).model_dump_json())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(package), str(memory)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return {check["name"]: check for check in json.loads(done.stdout)["checks"]}


def entry(name: bytes, *, size: int = 0, packed: int = 0, offset: int = 0, method: int = 0) -> bytes:
    """An entry of the directory of an archive, whatever it says."""
    fixed = DIRECTORY.pack(
        b"PK\x01\x02", 20, 0, 20, 0, 0, method, 0, 0, 0, packed, size, len(name), 0, 0, 0, 0, 0, offset
    )  # fmt: skip
    return fixed + name


def archive_of(path: Path, directory: bytes, count: int, *, data: bytes = b"") -> Path:
    """An archive with a directory of our own."""
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count & 0xFFFF, count & 0xFFFF, len(directory), len(data), 0)
    path.write_bytes(data + directory + end)
    return path


def test_so_many_entries_that_the_directory_alone_would_fill_memory_are_refused(tmp_path: Path) -> None:
    one = entry(b"x" * 4)
    count = 17 * MIB // len(one)
    path = archive_of(tmp_path / "x.zip", one * count, count)
    found = bounded(path)
    assert "directory is longer than 16777216 bytes" in found["archive"]["findings"][0]
    assert found["digests"]["state"] == "skipped"


def test_a_hundred_thousand_files_are_looked_at_and_a_thousand_findings_told(tmp_path: Path) -> None:
    directory = b"".join(entry(f"../{number}".encode()) for number in range(100_000))
    path = archive_of(tmp_path / "x.zip", directory, 100_000)
    found = checks(path)["archive"]
    assert found["findings"][0] == "'../0': unsafe path: '..' is no name of a file or folder"
    assert len(found["findings"]) == 1001
    assert found["findings"][-1].startswith("and 99")


def test_people_are_told_twenty_findings_and_how_many_more(tmp_path: Path) -> None:
    directory = b"".join(entry(f"../{number}".encode()) for number in range(30))
    lines = run(archive_of(tmp_path / "x.zip", directory, 30)).stdout.splitlines()
    assert sum(line.startswith("    '../") for line in lines) == 20
    assert any(line.strip().endswith("more (see --json)") for line in lines)


def test_a_small_file_with_documents_that_unpack_to_a_thousand_times_its_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in ("manifest.json", "models_rank.json"):
            with archive.open(name, "w") as file:
                for _ in range(100):
                    file.write(bytes(MIB))
    assert path.stat().st_size < MIB
    found = bounded(path)
    assert "is longer than 67108864 bytes" in found["manifest"]["findings"][0]
    assert "is longer than 67108864 bytes" in found["ranks"]["findings"][0]
    assert found["digests"]["state"] == "skipped"


def test_entries_that_share_their_bytes_are_found_and_not_unpacked(tmp_path: Path) -> None:
    """One block of zeros, named by thousands of entries: what is unpacked would have no end."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0", bytes(16 * MIB))
        start = archive.start_dir
    head = zipfile.ZipFile(whole).infolist()[0]
    directory = b"".join(
        entry(f"{number}".encode(), size=16 * MIB, packed=head.compress_size, method=8) for number in range(20_000)
    )
    path = archive_of(tmp_path / "x.zip", directory, 20_000, data=whole.getvalue()[:start])
    found = bounded(path)
    assert any("overlaps the file before it" in finding for finding in found["archive"]["findings"])
    assert {check["state"] for name, check in found.items() if name != "archive"} == {"skipped"}


def test_a_model_that_has_no_room_here_is_not_unpacked(farm, monkeypatch) -> None:
    path, _ = farm.pour(farm.sample("olive-0.13.0-search"))
    usage = type("Usage", (), {"free": 1000})()
    monkeypatch.setattr("packhouse.worker.verify.models.shutil.disk_usage", lambda _: usage)
    found = checks(path)["models"]
    assert found["state"] == "skipped"
    assert "there is no room for that" in found["message"]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda info: setattr(info, "flag_bits", info.flag_bits | 1), "is encrypted"),
        (lambda info: setattr(info, "compress_type", zipfile.ZIP_BZIP2), "compressed in an unusual way (method 12)"),
        (lambda info: setattr(info, "external_attr", 0o020666 << 16), "is a link or another thing that is no file"),
        (lambda info: setattr(info, "file_size", info.file_size + 1), "has another name, size or CRC"),
    ],
)
def test_an_entry_that_no_package_has_is_found(farm, spoil: Callable[[zipfile.ZipInfo], None], words: str) -> None:
    path, _ = farm.pour(farm.sample("olive-0.13.0-search"))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("more.txt", b"more")
        spoil(archive.getinfo("more.txt"))
    findings = failed(path)
    assert set(findings) == {"archive"}
    assert any("'more.txt'" in finding and words in finding for finding in findings["archive"]), findings


@pytest.mark.parametrize(
    ("method", "said", "words"),
    [
        (zipfile.ZIP_STORED, 1 << 40, "cannot unpack to the 1099511627776 bytes"),
        (zipfile.ZIP_DEFLATED, 1 << 62, "cannot unpack to the 4611686018427387904 bytes"),
    ],
)
def test_a_size_that_no_file_of_its_length_unpacks_to_is_found(
    tmp_path: Path, method: int, said: int, words: str
) -> None:
    """In 64 bits, where the directory of the archive has them: nothing is unpacked, and no room looked for."""
    with zipfile.ZipFile(tmp_path / "x.zip", "w", method) as archive:
        archive.writestr("manifest.json", b"{}" * 100)
        archive.getinfo("manifest.json").file_size = said
    found = checks(tmp_path / "x.zip")
    assert any(words in finding for finding in found["archive"]["findings"]), found["archive"]
    assert {check["state"] for name, check in found.items() if name != "archive"} == {"skipped"}


def test_a_file_that_unpacks_to_more_than_it_says_is_read_no_further_than_that(farm) -> None:
    """The stream goes on for a GiB; its entries in header and directory agree on 2 bytes."""
    path, _ = farm.pour(farm.sample("olive-0.13.0-search"))
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    stream = b"".join(bomb.compress(bytes(MIB)) for _ in range(1024)) + bomb.flush()
    files["stray.txt"] = b"\0\0"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
            if name == "stray.txt":
                _exchange(archive, name, stream)
    found = bounded(path)
    assert found["archive"]["state"] == "ok", found["archive"]
    assert any("stray.txt" in finding for finding in found["files"]["findings"])
    assert not [check for check in found.values() if "Traceback" in str(check)]


def _exchange(archive: zipfile.ZipFile, name: str, stream: bytes) -> None:
    """Put a deflated stream in the place of a file's bytes; header and directory keep what they say of it unpacked."""
    entry, file = archive.getinfo(name), archive.fp
    assert file is not None
    entry.compress_type, entry.compress_size = zipfile.ZIP_DEFLATED, len(stream)
    file.seek(entry.header_offset)
    file.write(entry.FileHeader(zip64=False))
    file.write(stream)
    archive.start_dir = file.tell()


LOCAL: dict[str, tuple[int, int]] = {
    "flags": (6, 2), "method": (8, 2), "CRC": (14, 4), "size packed": (18, 4),
    "size": (22, 4), "length of the name": (26, 2), "length of the extra field": (28, 2), "name": (30, 1),
}  # fmt: skip


@pytest.mark.parametrize("field", LOCAL)
def test_a_header_that_says_another_thing_than_the_directory_is_found(farm, field: str) -> None:
    """Readers that go by the headers would see another package than those that go by the directory."""
    path, _ = farm.pour(farm.sample("olive-0.13.0-search"))
    with zipfile.ZipFile(path) as archive:
        start = archive.infolist()[1].header_offset
    at, length = LOCAL[field]
    data = bytearray(path.read_bytes())
    data[start + at : start + at + length] = (
        int.from_bytes(data[start + at : start + at + length], "little") ^ 1
    ).to_bytes(length, "little")
    path.write_bytes(data)
    found = checks(path)
    assert found["archive"]["state"] == "failed"
    assert found["digests"]["state"] == "skipped"


ZIP64: dict[str, Callable[[int], bytes]] = {
    "an offset beyond the file": lambda _: _zip64(start=1 << 62),
    "more entries than there are": lambda length: _zip64(entries=1 << 62, length=length),
    "a directory beyond all sizes": lambda _: _zip64(length=(1 << 64) - 1),
    "a negative place": lambda length: _zip64(length=length, start=(1 << 64) - 1),
    "several disks": lambda length: _zip64(length=length, disks=7),
    "no record where it is said to be": lambda _: b"PK\x06\x07" + struct.pack("<LQL", 0, 1 << 40, 1),
}


def _zip64(*, entries: int = 1, length: int = 0, start: int = 0, disks: int = 1) -> bytes:
    """Both end records of 64 bits; the first lies where the second says if nothing is before the directory."""
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, entries, entries, length, start)
    return record + struct.pack("<4sLQL", b"PK\x06\x07", 0, length if length < 1 << 32 else 0, disks)


@pytest.mark.parametrize("name", ZIP64)
def test_end_records_of_64_bits_that_make_no_sense_are_a_finding(tmp_path: Path, name: str) -> None:
    directory = entry(b"manifest.json")
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    path = tmp_path / "x.zip"
    path.write_bytes(directory + ZIP64[name](len(directory)) + end)
    found = bounded(path)
    assert found["archive"]["state"] == "failed"
    assert {check["state"] for check_name, check in found.items() if check_name != "archive"} == {"skipped"}


def test_extra_fields_of_64_bits_that_are_cut_short_or_disagree_are_a_finding(tmp_path: Path) -> None:
    for extra in (struct.pack("<HHQ", 1, 8, 1 << 40), struct.pack("<HHL", 1, 4, 7), struct.pack("<HH", 1, 60_000)):
        fixed = DIRECTORY.pack(
            b"PK\x01\x02", 20, 0, 20, 0, 0, 0, 0, 0, 0, 0xFFFFFFFF, 0xFFFFFFFF, 1, len(extra), 0, 0, 0, 0, 0xFFFFFFFF
        )
        found = bounded(archive_of(tmp_path / "x.zip", fixed + b"x" + extra, 1))
        assert found["archive"]["state"] == "failed", extra


NAMES = [
    "/etc/passwd", "../x", "a/../../x", "a/..", "C:/x", "c:x", "\\\\host\\share", "a\\..\\x", "a//b",
    "a/./b", "", "/", "\x1b]0;x", "CandidateModels/", "x" * 256,
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_leads_elsewhere_is_found_and_nothing_is_unpacked(
    farm, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = farm.pour(farm.sample("olive-0.13.0-search"))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo("x"), b"owned")
        archive.filelist[-1].filename = name
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    assert set(failed(path)) == {"archive"}
    assert list(scratch.iterdir()) == []
    assert "\x1b" not in run(path).output


TWINS = [
    ("a/model", "A/MODEL"), ("a/\u00e9", "a/e\u0301"), ("a/\u212a", "a/k"), ("a/stra\u00dfe", "a/STRASSE"),
    ("a/x", "a/x."), ("a/x", "a/x "), ("a/x/y", "a/x /y"), ("a/x:y", "a/x_y"), ("a/x", "a/x/y"), ("a/X/y", "a/x"),
    ("a/\u1e9b\u0323", "a/\u1e9b\u0323".upper()), ("a/\u0345\u03b1", "a/\u0399\u0391"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), TWINS)
def test_names_that_are_one_where_it_is_unpacked_are_found(tmp_path: Path, one: str, other: str) -> None:
    """Windows and macOS would write one file over the other, or stop half-way."""
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(one, b"1")
        archive.writestr(other, b"2")
    found = checks(tmp_path / "x.zip")["archive"]
    assert found["state"] == "failed"
    assert any("are one" in finding for finding in found["findings"])


def test_a_name_of_sixty_thousand_characters_is_cut_where_it_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x" * 60_000, b"")
    (finding,) = failed(path)["archive"]
    assert len(finding) < 500


@pytest.mark.parametrize("depth", [100_000])
def test_documents_nested_without_end_are_findings(farm, depth: int) -> None:
    path, _ = farm.pour(farm.sample("olive-0.13.0-search"))
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    files["models_rank.json"] = b'[{"rank":1,"metrics":null,"model_config":{"type":"x","config":{"a":' + b"[" * depth
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    assert {"ranks", "digests"} <= set(failed(path))


def test_what_is_neither_a_file_nor_a_folder_is_not_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    folder.mkdir()
    os.mkfifo(folder / "manifest.json")
    assert failed(folder / "manifest.json") == {"archive": ["it is no regular file"]}
    assert checks(folder)["archive"]["findings"] == ["'manifest.json' is a link or another thing that is no file"]
