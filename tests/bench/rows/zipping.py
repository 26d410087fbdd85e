"""Writing a ZIP of one large file of weights, against copying it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from bench.data import float32
from bench.measure import Measured, Usage, settle, used
from bench.registry import Bench, at_most, row

from packhouse.worker.storage.digest import FileDigest
from packhouse.worker.storage.local import OpenFile
from packhouse.worker.storage.sink import FileSink
from packhouse.worker.storage.zip_writer import ZipWriter


def zipped(source: Path, target: Path, *, deflate: bool = False, known: FileDigest | None = None) -> FileDigest:
    out, fd = os.open(target, os.O_RDWR | os.O_CREAT), os.open(source, os.O_RDONLY)
    try:
        writer = ZipWriter(FileSink(out))
        digest = writer.add_file("weights.bin", OpenFile.of(fd, "", "weights.bin"), deflate=deflate, known=known)
        writer.finish()
    finally:
        os.close(out)
        os.close(fd)
    return digest


def against_cp(bench: Bench, *, deflate: bool = False, known: bool = False) -> Measured:
    source, copy, archive = (bench.folder / name for name in ("weights.bin", "copy", "p.zip"))
    float32(source, bench.mib)
    digest = zipped(source, archive) if known else None
    archive.unlink(missing_ok=True)

    def ours() -> Usage:
        usage = used(lambda: zipped(source, archive, deflate=deflate, known=digest))
        settle(archive)
        return usage

    def cp() -> Usage:
        usage = used(lambda: subprocess.run(["cp", "--reflink=never", source, copy], check=True))
        settle(copy)
        return usage

    return bench.pairs.compare(ours, cp)


@row("zip-known", "ZIP of float32 weights, digests known, against cp", target=at_most(1.3, "times cp"), limit="1.0")
def zip_known(bench: Bench) -> Measured:
    return against_cp(bench, known=True)


@row("zip-first", "the same at first sight: sha256 computed", target=at_most(2.7, "times cp"), limit="2.5 on one core")
def zip_first(bench: Bench) -> Measured:
    return against_cp(bench)


@row("zip-deflated", "the same, deflated", limit="")
def zip_deflated(bench: Bench) -> Measured:
    return against_cp(bench, deflate=True)
