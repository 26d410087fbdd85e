"""Ranks follow priorities, directions and ties as written."""

from __future__ import annotations

import math
import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from packhouse.schemas import Engine, FinishedRun, Footprint
from packhouse.schemas.ranking import LeftOutReason
from packhouse.worker.ranking import find_objectives, rank, sort_key

OBJECTIVES = {"accuracy": (1, True), "latency": (2, False), "size": (-1, False)}


def metric(name: str, value: float | None) -> dict[str, Any]:
    priority, higher = OBJECTIVES[name]
    return {"value": value, "priority": priority, "higher_is_better": higher}


def node(
    model_id: str, parent: str = "in", *, output: bool = True, model: bool = True, **values: float | None
) -> dict[str, Any]:
    return {
        "model_id": model_id,
        "parent_model_id": parent,
        "from_pass": "Quantization",
        "is_output": output,
        "model": {"type": "ONNXModel", "config": {"model_path": f"/m/{model_id}.onnx"}} if model else None,
        "metrics": {name: metric(name, value) for name, value in values.items()} or None,
    }


def run_of(*footprints: tuple[str, list[dict[str, Any]]], top: int | None = None) -> FinishedRun:
    return FinishedRun(
        engine=Engine(name="olive"),
        output_dir="/out",
        top=top,
        footprints=[
            Footprint.model_validate({"accelerator": accelerator, "nodes": [{"model_id": "in"}, *nodes]})
            for accelerator, nodes in footprints
        ],
    )


def order(run: FinishedRun) -> list[str]:
    return [candidate.model_id for candidate in rank(run).candidates]


values = st.one_of(
    st.none(), st.just(math.nan), st.integers(-5, 5), st.floats(allow_nan=False), st.integers(2**60, 2**60 + 3)
)
nodes_of_values = st.lists(st.tuples(values, values), min_size=1, max_size=12)


def nodes_from(pairs: list[tuple[Any, Any]]) -> list[dict[str, Any]]:
    return [node(f"m{i}", accuracy=first, latency=second) for i, (first, second) in enumerate(pairs)]


def test_the_first_objective_decides_before_the_second() -> None:
    run = run_of(("cpu-cpu", [node("slow", accuracy=0.9, latency=9), node("fast", accuracy=0.8, latency=1)]))
    assert order(run) == ["slow", "fast"]


def test_equal_values_go_to_the_next_objective_and_then_to_the_engines_order() -> None:
    run = run_of(
        (
            "cpu-cpu",
            [
                node("a", accuracy=0.9, latency=3),
                node("b", accuracy=0.9, latency=2),
                node("c", accuracy=0.9, latency=3),
            ],
        )
    )
    assert order(run) == ["b", "a", "c"]


def test_ranks_run_across_accelerators_and_within_each() -> None:
    ranking = rank(
        run_of(
            ("cpu-cpu", [node("a", accuracy=0.5, latency=1), node("b", accuracy=0.9, latency=1)]),
            ("gpu-cuda", [node("c", accuracy=0.7, latency=1)]),
        )
    )
    assert [(c.rank, c.rank_in_accelerator, str(c.accelerator), c.model_id) for c in ranking.candidates] == [
        (1, 1, "cpu-cpu", "b"),
        (2, 1, "gpu-cuda", "c"),
        (3, 2, "cpu-cpu", "a"),
    ]


def test_a_metric_without_priority_is_no_objective() -> None:
    run = run_of(("cpu-cpu", [node("a", accuracy=0.9, size=9), node("b", accuracy=0.9, size=1)]))
    assert [objective.name for objective in find_objectives(run)] == ["accuracy"]
    assert order(run) == ["a", "b"]


def test_missing_values_and_nan_come_last_and_the_ranking_says_so() -> None:
    nodes = [node("none"), node("nan", accuracy=math.nan, latency=1), node("worst", accuracy=-math.inf, latency=1)]
    ranking = rank(run_of(("cpu-cpu", nodes)))
    assert [candidate.model_id for candidate in ranking.candidates] == ["worst", "nan", "none"]
    assert "no value for accuracy" in ranking.candidates[1].reason
    assert "no value for accuracy, latency" in ranking.candidates[2].reason


def test_large_integers_are_compared_without_rounding() -> None:
    run = run_of(("cpu-cpu", [node("less", accuracy=2**60), node("more", accuracy=2**60 + 1)]))
    assert order(run) == ["more", "less"]
    assert "1152921504606846976 against 1152921504606846977" in rank(run).candidates[1].reason


def test_integers_beyond_every_float_are_ranked_like_others() -> None:
    nodes = [node("inf", accuracy=math.inf), node("huge", accuracy=10**400), node("less", accuracy=10**400 - 1)]
    run = run_of(("cpu-cpu", [*nodes, node("small", accuracy=0.5), node("nan", accuracy=math.nan)]))
    assert order(run) == ["inf", "huge", "less", "small", "nan"]
    assert "0.5 against" in rank(run).candidates[3].reason


def test_with_one_objective_the_reason_speaks_of_no_other() -> None:
    run = run_of(("cpu-cpu", [node("one", accuracy=1), node("two", accuracy=2)]))
    assert rank(run).candidates[0].reason == "Best by accuracy (highest first)."


def test_where_the_engine_marked_outputs_only_those_are_candidates() -> None:
    ranking = rank(run_of(("cpu-cpu", [node("a", output=False), node("b", "a"), node("c", "b", output=False)])))
    assert [candidate.model_id for candidate in ranking.candidates] == ["b"]
    assert {(left.model_id, left.reason) for left in ranking.left_out} == {
        ("in", LeftOutReason.INPUT_MODEL),
        ("a", LeftOutReason.NOT_MARKED),
        ("c", LeftOutReason.NOT_MARKED),
    }


def test_where_nothing_is_marked_the_ends_of_the_lineage_that_have_a_model_are_candidates() -> None:
    nodes = [
        node("a", output=False),
        node("b", "a", output=False),
        node("c", "b", output=False, model=False),
        node("d", output=False),
    ]
    nodes.append(node("e", "d", output=False))
    nodes[-1]["model"] = {"type": "ONNXModel", "config": {"is_pruned": True}}
    ranking = rank(run_of(("cpu-cpu", nodes)))
    assert [candidate.model_id for candidate in ranking.candidates] == ["b", "d"]
    assert {left.model_id: left.reason for left in ranking.left_out} == {
        "in": LeftOutReason.INPUT_MODEL,
        "a": LeftOutReason.INTERMEDIATE,
        "c": LeftOutReason.NO_MODEL,
        "e": LeftOutReason.PRUNED,
    }


def test_a_limit_keeps_the_best_of_each_accelerator_and_reports_the_others() -> None:
    ranking = rank(
        run_of(
            ("cpu-cpu", [node("a", accuracy=3), node("b", accuracy=2)]),
            ("gpu-cuda", [node("c", accuracy=1)]),
            top=1,
        )
    )
    assert [(c.rank, c.model_id) for c in ranking.candidates] == [(1, "a"), (2, "c")]
    assert ("b", LeftOutReason.BEYOND_TOP) in {(left.model_id, left.reason) for left in ranking.left_out}


@given(nodes_of_values)
def test_every_node_is_either_ranked_once_or_left_out_once(pairs: list[tuple[Any, Any]]) -> None:
    ranking = rank(run_of(("cpu-cpu", nodes_from(pairs))))
    assert [candidate.rank for candidate in ranking.candidates] == list(range(1, len(pairs) + 1))
    assert ranking.counted() == ranking.model_copy(update={"counts": None}).counted()
    named = [c.model_id for c in ranking.candidates] + [left.model_id for left in ranking.left_out]
    assert sorted(named) == sorted(["in", *(f"m{i}" for i in range(len(pairs)))])


@given(st.lists(st.tuples(values, values), min_size=3, max_size=3))
def test_the_order_is_total(pairs: list[tuple[Any, Any]]) -> None:
    run = run_of(("cpu-cpu", nodes_from(pairs)))
    objectives = find_objectives(run)
    a, b, c = (sort_key(n.measured, objectives) for n in run.footprints[0].nodes[1:])
    assert [a < b, b < a, a == b].count(True) == 1
    if a <= b <= c:
        assert a <= c


@given(nodes_of_values, st.randoms(use_true_random=False))
def test_permuting_the_input_changes_nothing_but_ties(pairs: list[tuple[Any, Any]], rng: random.Random) -> None:
    nodes = nodes_from(pairs)
    run = run_of(("cpu-cpu", nodes))
    shuffled = list(nodes)
    rng.shuffle(shuffled)
    objectives = find_objectives(run)
    keys = {n.model_id: sort_key(n.measured, objectives) for n in run.footprints[0].nodes}
    assert [keys[m] for m in order(run)] == [keys[m] for m in order(run_of(("cpu-cpu", shuffled)))]


@given(nodes_of_values, st.integers(0, 11), st.floats(0.5, 10))
def test_a_strictly_better_candidate_never_ranks_lower(pairs: list[tuple[Any, Any]], index: int, gain: float) -> None:
    index %= len(pairs)
    before = order(run_of(("cpu-cpu", nodes_from(pairs)))).index(f"m{index}")
    accuracy, latency = pairs[index]
    better = gain if accuracy is None or math.isnan(accuracy) else accuracy + gain
    pairs[index] = (better, latency)
    if accuracy is None or math.isnan(accuracy) or better > accuracy:
        assert order(run_of(("cpu-cpu", nodes_from(pairs)))).index(f"m{index}") <= before
