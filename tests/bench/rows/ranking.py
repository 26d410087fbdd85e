"""Ranking very many nodes, against only sorting them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from bench.measure import Measured, by_cpu, used
from bench.registry import Bench, at_most, row

from packhouse.schemas import FinishedRun
from packhouse.worker.ranking import Order, find_objectives, order_of, sort_key

NODES = 100_000
METRICS = (("accuracy", 1, True), ("latency", 2, False), ("memory", 3, False))


def run_of(marked: int, count: int = NODES) -> FinishedRun:
    """A run of so many nodes of which one in ``marked`` was put out."""
    dice = random.Random(1)
    nodes: list[dict[str, Any]] = [{"model_id": "input"}]
    for number in range(count):
        metrics = {
            # Many are equal on the first objective: the others decide.
            name: {"value": round(dice.random(), 2 * priority), "priority": priority, "higher_is_better": higher}
            for name, priority, higher in METRICS
        }
        model = {"type": "ONNXModel", "config": {"model_path": f"/srv/{number}/model.onnx"}}
        known = {"parent_model_id": "input", "from_pass": "Quantization", "is_output": number % marked == 0}
        nodes.append({"model_id": f"m{number}", "model": model, "metrics": metrics} | known)
    footprint = {"accelerator": "cpu-cpu", "nodes": nodes}
    return FinishedRun.model_validate(
        {"engine": {"name": "olive"}, "output_dir": "/srv/out", "footprints": [footprint]}
    )


def against_sorted(bench: Bench, marked: int, tell: Callable[[Order], object]) -> Measured:
    run = run_of(marked)
    objectives = find_objectives(run)
    nodes = run.footprints[0].nodes

    def only_sort() -> None:
        sorted(nodes, key=lambda node: sort_key(node.measured, objectives))

    return bench.pairs.compare(lambda: used(lambda: tell(order_of(run))), lambda: used(only_sort), of=by_cpu)


@row(
    "rank-all",
    "ranking 100,000 candidates and telling the first, as a run's status does, against sorted",
    target=at_most(3, "times"),
)
def rank_all(bench: Bench) -> Measured:
    return against_sorted(bench, 1, Order.beginning)


@row(
    "rank-frontier", "the same of 100,000 nodes of which 100 are candidates, against sorted", target=at_most(3, "times")
)
def rank_frontier(bench: Bench) -> Measured:
    return against_sorted(bench, NODES // 100, Order.beginning)


@row("rank-told", "ranking 100,000 candidates, a document and a reason made for each, against sorted")
def rank_told(bench: Bench) -> Measured:
    return against_sorted(bench, 1, Order.told)
