"""Weights of other shapes than four large files: quantised, shared by candidates, in very many files."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from bench.copying import copied
from bench.data import MIB, float32, int8, onnx_models, with_external_data
from bench.measure import Measured
from bench.peers import packaged
from bench.quantised import quantised
from bench.registry import Bench, at_most, row
from bench.working import Zipping, working

CANDIDATES = 4
FILES = 1000
MOST_DEFLATED = 256
"""MiB that are deflated for a comparison of sizes, which does not change with the size."""

ONCE = at_most(1.01, "times")


def folder_of(bench: Bench) -> Path:
    folder = bench.folder / "weights"
    folder.mkdir()
    return folder


def sharing_one_file(bench: Bench) -> list[Path]:
    """Four candidates that refer to the same file of weights."""
    folder = folder_of(bench)
    weights = float32(folder / "weights.bin", bench.mib)
    return [with_external_data(folder / f"{number}.onnx", weights) for number in range(CANDIDATES)]


def in_many_files(bench: Bench) -> list[Path]:
    """One candidate whose weights are a thousand files of random bytes."""
    folder = folder_of(bench)
    files = [folder / f"w{number}.bin" for number in range(FILES)]
    for file in files:
        file.write_bytes(os.urandom(bench.mib * MIB // FILES))
    return [with_external_data(folder / "model.onnx", *files)]


def held(models: Iterable[Path]) -> list[list[Path]]:
    """The files of each candidate; a shared one is in a ZIP as often as candidates have it."""
    return [[model, *model.parent.glob("*.bin")] for model in models]


def size(models: Iterable[Path]) -> int:
    return sum(file.stat().st_size for files in held(models) for file in files)


def written(bench: Bench, models: list[Path], of: int) -> Measured:
    """Bytes that the packager writes, in times of so many."""
    usage = packaged(bench.folder, models)
    return Measured(((usage.written or 0) / of,), usage, note="once")


def against_cp(bench: Bench, models: list[Path]) -> Measured:
    """A worker's ZIP, digests known, against copying what it holds."""
    with working(bench, PACKHOUSE_FSYNC="never") as worker:
        one = Zipping(worker, models)
        return bench.pairs.compare(one.once, lambda: copied(bench.folder / "copies", *held(models)))


def against_deflate_6(bench: Bench, models: list[Path]) -> Measured:
    """Size of the archive against that of one whose files are all deflated at level 6, as Olive's are."""
    archive = bench.folder / "deflated.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for number, file in enumerate(models):
            out.write(file, str(number))
    return written(bench, models, archive.stat().st_size)


@row("shared-written", "four candidates of one file: bytes written for a ZIP, against what it holds", target=ONCE)
def shared_written(bench: Bench) -> Measured:
    models = sharing_one_file(bench)
    return written(bench, models, size(models))


@row("shared-cp", "the same by a worker, digests known, against cp of what it holds")
def shared_cp(bench: Bench) -> Measured:
    return against_cp(bench, sharing_one_file(replace(bench, mib=bench.mib // CANDIDATES)))


@row("many-files-written", f"weights in {FILES} files: bytes written for a ZIP, against what it holds", target=ONCE)
def many_files_written(bench: Bench) -> Measured:
    models = in_many_files(bench)
    return written(bench, models, size(models))


@row("many-files-cp", "the same by a worker, digests known, against cp")
def many_files_cp(bench: Bench) -> Measured:
    return against_cp(bench, in_many_files(bench))


@row("int8-size", "size of a ZIP of four int8 candidates, against deflate 6, which Olive uses")
def int8_size(bench: Bench) -> Measured:
    models = onnx_models(folder_of(bench), CANDIDATES, min(bench.mib, MOST_DEFLATED) // CANDIDATES, int8)
    return against_deflate_6(bench, models)


@row("quantised-size", "the same of a real model, quantised in four ways", target=at_most(1.1, "times"))
def quantised_size(bench: Bench) -> Measured:
    return against_deflate_6(bench, quantised(folder_of(bench)))


@row("quantised-cp", "a worker's ZIP of these, deflated, digests known, against cp")
def quantised_cp(bench: Bench) -> Measured:
    return against_cp(bench, quantised(folder_of(bench)))
