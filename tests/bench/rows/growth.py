"""How the cost of packaging one run grows: with its candidates, bytes, files and nodes."""

from __future__ import annotations

from pathlib import Path

import onnx
from bench.data import onnx_models
from bench.growing import grown
from bench.measure import Measured, used
from bench.peers import packaged
from bench.registry import Bench, at_most, row
from bench.rows.ranking import run_of
from onnx import TensorProto, helper

from packhouse.schemas import RunFinished
from packhouse.worker.ranking import rank

NEAR_LINEAR = at_most(1.1, "as exponent")
CPU = "seconds of CPU"


@row("grow-candidates", "packaging 1, 10 and 100 candidates of 1 MiB each", target=NEAR_LINEAR, limit="1")
def candidates(bench: Bench) -> Measured:
    models = onnx_models(bench.folder, 100, 1)
    return grown((1, 10, 100), bench.count, CPU, lambda count: packaged(bench.folder, models[:count]).cpu).linear()


@row("grow-bytes", "packaging a model of 64, 128 and 512 MiB at first sight", target=NEAR_LINEAR, limit="1")
def size(bench: Bench) -> Measured:
    models: dict[int, list[Path]] = {}
    for mib in (64, 128, 512):
        (folder := bench.folder / f"{mib}").mkdir()
        models[mib] = onnx_models(folder, 1, mib)
    return grown(tuple(models), bench.count, CPU, lambda mib: packaged(bench.folder, models[mib]).cpu).linear()


@row("grow-files", "packaging a model with 1, 100 and 10,000 files of external data", target=NEAR_LINEAR, limit="1")
def files(bench: Bench) -> Measured:
    models = {count: scattered(bench.folder / f"{count}", count) for count in (1, 100, 10_000)}
    return grown(tuple(models), bench.count, CPU, lambda count: packaged(bench.folder, [models[count]]).cpu).linear()


def scattered(folder: Path, count: int) -> Path:
    """A model whose initializers lie in a file each."""
    folder.mkdir()
    tensors: list[TensorProto] = []
    for number in range(count):
        tensor = TensorProto(name=f"w{number}", data_type=TensorProto.FLOAT, dims=[16])
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=f"w{number}.bin")
        tensors.append(tensor)
        (folder / f"w{number}.bin").write_bytes(number.to_bytes(4, "little") * 16)
    value = helper.make_tensor_value_info("w0", TensorProto.FLOAT, [16])
    graph = helper.make_graph([], "g", [], [value], tensors)
    onnx.save_model(helper.make_model(graph), folder / "model.onnx")
    return folder / "model.onnx"


@row(
    "grow-nodes", "reading and ranking 1,000, 10,000 and 100,000 nodes, each a candidate", target=NEAR_LINEAR, limit="1"
)
def nodes(bench: Bench) -> Measured:
    events = {count: event_of(count) for count in (1_000, 10_000, 100_000)}

    def cost(count: int) -> float:
        return used(lambda: rank(RunFinished.read(events[count]).data)).cpu

    return grown(tuple(events), bench.count, CPU, cost).linear()


def event_of(count: int) -> str:
    return RunFinished.of(run_of(1, count), source="/bench", run_id="nodes").to_wire().decode()
