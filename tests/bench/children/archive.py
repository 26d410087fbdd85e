"""One way of making an archive: ``archive.py WAY TARGET FILE...``. Runs in whatever environment has what it needs."""

# What is imported is in an environment of its own only.
# pyright: reportMissingImports=false

from __future__ import annotations

import os
import shutil
import sys
import zipfile
from pathlib import Path

from probe import tell

WAY, TARGET = sys.argv[1], Path(sys.argv[2])
FILES = [Path(name) for name in sys.argv[3:]]


def with_ours() -> None:
    """At first sight: SHA-256 is computed, which the others leave out."""
    from packhouse.worker.storage.local import OpenFile
    from packhouse.worker.storage.sink import FileSink
    from packhouse.worker.storage.zip_writer import ZipWriter

    out = os.open(TARGET, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    writer = ZipWriter(FileSink(out))
    for file in FILES:
        with OpenFile.of(os.open(file, os.O_RDONLY), "", file.name) as source:
            writer.add_file(file.name, source)
    writer.finish()
    os.close(out)


def with_zipfile(method: int) -> None:
    with zipfile.ZipFile(TARGET, "w", method) as archive:
        for file in FILES:
            archive.write(file, file.name)


def with_make_archive() -> None:
    """All that is in the folder of the first file."""
    shutil.make_archive(str(TARGET.with_suffix("")), "zip", FILES[0].parent)


def with_zipstream() -> None:
    from zipstream import ZIP_STORED, ZipStream

    stream = ZipStream(compress_type=ZIP_STORED)
    for file in FILES:
        stream.add_path(file)
    with TARGET.open("wb") as out:
        out.writelines(stream)


def with_stream_zip() -> None:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from isal import isal_zlib
    from stream_zip import NO_COMPRESSION_64, stream_zip

    def chunks(file: Path) -> Iterator[bytes]:
        with file.open("rb") as source:
            while chunk := source.read(1 << 20):
                yield chunk

    def members() -> Iterable[tuple[str, datetime, int, object, Iterable[bytes]]]:
        for file in FILES:
            crc = 0
            for chunk in chunks(file):
                crc = isal_zlib.crc32(chunk, crc)
            method = NO_COMPRESSION_64(file.stat().st_size, crc)
            yield file.name, datetime(1980, 1, 1), 0o100644, method, chunks(file)  # noqa: DTZ001 (as ZIP has it)

    with TARGET.open("wb") as out:
        out.writelines(stream_zip(members()))


WAYS = {
    "ours": with_ours,
    "zipfile-stored": lambda: with_zipfile(zipfile.ZIP_STORED),
    "zipfile-deflated": lambda: with_zipfile(zipfile.ZIP_DEFLATED),
    "make_archive": with_make_archive,
    "zipstream-ng": with_zipstream,
    "stream-zip": with_stream_zip,
}
tell(WAYS[WAY])
