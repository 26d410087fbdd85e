"""What packages of one run share."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

from bench.measure import Measured, Usage, by_cpu, settle, used
from bench.registry import Bench, at_most, row

from packhouse.worker.storage.known import KnownDigests, turn
from packhouse.worker.storage.local import OpenFile
from packhouse.worker.storage.sink import FileSink
from packhouse.worker.storage.zip_writer import ZipWriter

_LATER = 3 * 10**9


@row(
    "digests-shared",
    "CPU of a second package of the same file, its digests found on the machine, against the first",
    target=at_most(0.6, "times the first"),
)
def digests_shared(bench: Bench) -> Measured:
    weights = bench.folder / "weights.bin"
    with weights.open("wb") as file:
        for _ in range(bench.mib):
            file.write(os.urandom(1 << 20))
    known, empty = KnownDigests(bench.folder / "digests"), KnownDigests()
    _package(weights, known)
    return bench.pairs.compare(lambda: _measured(weights, known), lambda: _measured(weights, empty), of=by_cpu)


def _measured(weights: Path, store: KnownDigests) -> Usage:
    usage = used(lambda: _package(weights, store))
    settle(weights.with_name("p.zip"))
    return usage


def _package(weights: Path, store: KnownDigests) -> None:
    """As the packager does it; the file counts as old enough to be trusted."""
    out = os.open(weights.with_name("p.zip"), os.O_RDWR | os.O_CREAT)
    try:
        writer = ZipWriter(FileSink(out))
        with OpenFile.of(os.open(weights, os.O_RDONLY), "", "w") as plain:
            source = replace(plain, opened=time.time_ns() + _LATER)
            with turn(store, source, lambda: None) as mine:
                mine.settle(writer.add_file("weights.bin", source, known=mine.known))
        writer.finish()
    finally:
        os.close(out)
