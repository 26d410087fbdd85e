"""The whole packaging of four candidates, against Olive's own and against other ways of making an archive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bench.data import MIB, float32, int8, onnx_models, with_external_data
from bench.measure import Measured, Usage, by_cpu, median_of
from bench.peers import archived, by_olive, packaged
from bench.registry import Bench, at_least, at_most, row

CANDIDATES = 4
LESS = at_least(15, "times less CPU")


def models_of(bench: Bench, weights: Callable[[Path, int, int], Path] = float32) -> list[Path]:
    folder = bench.folder / "models"
    folder.mkdir()
    return onnx_models(folder, CANDIDATES, bench.mib // CANDIDATES, weights)


def against_olive(bench: Bench, version: str, weights: Callable[[Path, int, int], Path] = float32) -> Measured:
    models = models_of(bench, weights)
    theirs = bench.folder / "olive"
    theirs.mkdir()
    return bench.few.compare(
        lambda: packaged(bench.folder, models),
        lambda: by_olive(version, theirs, models),
        by_cpu,
        inverse=True,
        warm=False,
        note=f"{bench.few.count} pairs of {bench.mib} MiB",
    )


@row("olive-0.6.2", "packaging four float32 candidates, against Olive 0.6.2's own", target=LESS, limit="30")
def olive_0_6_2(bench: Bench) -> Measured:
    return against_olive(bench, "0.6.2")


@row("olive-0.13.0", "the same against Olive 0.13.0's", target=LESS, limit="30")
def olive_0_13_0(bench: Bench) -> Measured:
    return against_olive(bench, "0.13.0")


@row("olive-int8", "packaging four int8 candidates, against Olive 0.13.0's own", target=LESS)
def olive_int8(bench: Bench) -> Measured:
    return against_olive(bench, "0.13.0", int8)


def against_archive(bench: Bench, way: str, *, warm: bool = True) -> Measured:
    models, pairs = models_of(bench), bench.pairs if warm else bench.few
    return pairs.compare(
        lambda: archived("ours", bench.folder / "ours.zip", models),
        lambda: archived(way, bench.folder / "peer.zip", models),
        by_cpu,
        inverse=True,
        warm=warm,
        note=f"{pairs.count} pairs",
    )


@row("make_archive", "ZIP of four float32 files with their SHA-256, CPU against shutil.make_archive without")
def make_archive(bench: Bench) -> Measured:
    return against_archive(bench, "make_archive", warm=False)


@row("zipfile-stored", "the same against zipfile, stored, without")
def zipfile_stored(bench: Bench) -> Measured:
    return against_archive(bench, "zipfile-stored")


@row("zipstream-ng", "the same against zipstream-ng, stored, without")
def zipstream_ng(bench: Bench) -> Measured:
    return against_archive(bench, "zipstream-ng")


@row("stream-zip", "the same against stream-zip, stored, without")
def stream_zip(bench: Bench) -> Measured:
    return against_archive(bench, "stream-zip")


def costs(bench: Bench, models: list[Path], of: Callable[[Usage], float]) -> Measured:
    """What packaging takes by itself, beside nothing. Twice: it hardly varies."""
    usages = [packaged(bench.folder, models) for _ in range(min(bench.count, 2))]
    return Measured(tuple(of(usage) for usage in usages), median_of(usages), note=f"{len(usages)} runs")


@row("bytes-written", "bytes written for a ZIP, against the weights in it", target=at_most(1.01, "times"), limit="1.0")
def bytes_written(bench: Bench) -> Measured:
    models = models_of(bench)
    weights = sum(model.stat().st_size for model in models)
    return costs(bench, models, lambda usage: (usage.written or 0) / weights)


@row("bytes-read", "bytes read for a ZIP at first sight, against the weights in it", limit="1.0")
def bytes_read(bench: Bench) -> Measured:
    models = models_of(bench)
    weights = sum(model.stat().st_size for model in models)
    return costs(bench, models, lambda usage: (usage.read or 0) / weights)


MEMORY = at_most(64, "MiB")


def memory(bench: Bench, mib: int, times: int) -> Measured:
    folder = bench.folder / "models"
    folder.mkdir()
    model = with_external_data(folder / "model.onnx", float32(folder / "weights.bin", mib))
    return costs(replace(bench, count=times), [model], lambda usage: (usage.peak or 0) / MIB)


@row("memory", "memory of a packaging process over its idle self, one model of BENCH_MIB", target=MEMORY)
def memory_of_one(bench: Bench) -> Measured:
    return memory(bench, bench.mib, bench.count)


@row("memory-8-times", "the same, a model of 8 times BENCH_MIB, once", target=MEMORY)
def memory_of_eight(bench: Bench) -> Measured:
    return memory(bench, 8 * bench.mib, 1)
