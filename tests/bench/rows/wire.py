"""Bytes that come and go over the wire, counted by the server that takes and gives them."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from bench.data import float32, onnx_models, with_external_data
from bench.measure import Measured, Usage, median_of
from bench.registry import Bench, NotHere, at_most, row
from bench.working import PLAIN, Working, working
from support.assets import container_of
from support.azure import AzureStandIn
from support.server import free_port

from packhouse.local.azure import azurite

CANDIDATES = 4
ASSETS = [{"type": "AzureMLModels", "name": "bench_model"}, {"type": "AzureMLData", "name": "bench_data"}]
ZIPS = [{"type": "Zipfile", "name": name, **PLAIN} for name in ("one", "two")]


@dataclass
class Wired:
    """Workers whose cloud is the stand-in, with the unmodified SDK between them, and the weights of a run."""

    azure: AzureStandIn
    worker: Working
    models: list[Path]

    @property
    def weights(self) -> int:
        return sum(model.stat().st_size for model in self.models)

    def assets(self) -> tuple[float, Usage]:
        """Bytes that a new run sent to blob storage for assets of both types, in times of its weights."""
        self.azure.forget_requests()
        _, usage = self.worker.packages(self.worker.run(ASSETS, self.models))
        return self.azure.sent_to_blobs() / self.weights, usage

    def zips(self) -> tuple[float, Usage]:
        """Bytes that a run read from blob storage for two ZIPs, nothing being known, in times of its weights."""
        self.azure.reset()
        self.worker.forget()
        with container_of(self.azure) as container:
            for model in self.models:
                with model.open("rb") as file:
                    container.upload_blob(model.name, file)
        self.azure.forget_requests()
        event = self.worker.run(ZIPS, self.models, lambda model: f"{self.azure.blob_url}/{model.name}")
        packages, usage = self.worker.packages(event)
        for package in packages:
            Path(str(package.path)).unlink()
        gets = [one for one in self.azure.requests if one.method == "GET" and ".blob." in one.host]
        return sum(one.response_bytes for one in gets) / self.weights, usage


@contextlib.contextmanager
def wired(bench: Bench, **extra: str) -> Generator[Wired]:
    if missing := azurite.missing_programs():
        raise NotHere(f"the stand-in for Azure needs {' and '.join(missing)}")
    folder = bench.folder / "cloud"
    folder.mkdir()
    azure = AzureStandIn(folder, (free_port(), free_port()))
    try:
        azure.start()
        allowed = {"PACKHOUSE_AZURE_ACCOUNTS": f"{azure.account}/{azure.container}"}
        models = bench.folder / "weights"
        models.mkdir()
        with working(bench, concurrency=2, **azure.environment, **allowed, **extra) as worker:
            yield Wired(azure, worker, onnx_models(models, CANDIDATES, bench.mib // CANDIDATES))
    finally:
        azure.stop()


def turns(bench: Bench) -> int:
    """Twice at most: bytes are the same each time, and a gigabyte takes the stand-in its while."""
    return min(bench.count, 2)


def found(taken: list[tuple[float, Usage]]) -> Measured:
    usage = median_of([usage for _, usage in taken])
    return Measured(tuple(value for value, _ in taken), usage, note=f"{len(taken)} runs")


@row(
    "wire-models-data",
    "bytes sent for Azure Models and Data assets of one run together, against the distinct weights",
    target=at_most(1.01, "times"),
    limit="1.0",
)
def models_and_data(bench: Bench) -> Measured:
    taken: list[tuple[float, Usage]] = []
    with wired(bench) as one:
        for _ in range(turns(bench)):
            one.azure.reset()
            taken.append(one.assets())
    return found(taken)


@row(
    "wire-shared",
    "the same where the four candidates share one file of weights",
    target=at_most(1.01, "times"),
    limit="1.0",
)
def shared_file(bench: Bench) -> Measured:
    with wired(bench) as one:
        one.azure.reset()
        weights = float32(one.models[0].with_name("weights.bin"), bench.mib)
        sharing = [with_external_data(model, weights) for model in one.models]
        one.azure.forget_requests()
        _, usage = one.worker.packages(one.worker.run(ASSETS, sharing))
        return found([(one.azure.sent_to_blobs() / weights.stat().st_size, usage)])


@row(
    "wire-rerun",
    "the same run once more, all of it being there",
    target=at_most(0.01, "times"),
    limit="0",
)
def once_more(bench: Bench) -> Measured:
    with wired(bench) as one:
        one.assets()
        return found([one.assets() for _ in range(turns(bench))])


@row(
    "wire-two-zips",
    "bytes read from blob storage for two ZIPs of one run, against its weights",
    target=at_most(1.01, "times"),
    limit="1.0",
)
def two_zips(bench: Bench) -> Measured:
    with wired(bench) as one:
        return found([one.zips() for _ in range(turns(bench))])
