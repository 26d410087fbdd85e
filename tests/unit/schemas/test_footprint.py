from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from packhouse.schemas.footprint import Footprint, Metric


def footprint(*nodes: dict[str, Any]) -> Footprint:
    return Footprint.model_validate({"accelerator": "cpu-cpu", "nodes": nodes})


def refusal(*nodes: dict[str, Any]) -> tuple[str, str]:
    with pytest.raises(ValidationError) as caught:
        footprint(*nodes)
    error = caught.value.errors()[0]
    return ".".join(map(str, error["loc"])), error["msg"]


def metric(value: object, **others: object) -> dict[str, Any]:
    return {"model_id": "m", "metrics": {"accuracy-top1": {"value": value, "higher_is_better": True, **others}}}


def test_a_lineage_that_loops_is_refused() -> None:
    field, told = refusal(
        {"model_id": "a", "parent_model_id": "c"},
        {"model_id": "b", "parent_model_id": "a"},
        {"model_id": "c", "parent_model_id": "b"},
    )
    assert field == "nodes"
    assert "loops" in told
    assert "parent_model_id" in told


def test_a_model_that_is_its_own_parent_is_refused() -> None:
    assert "loops" in refusal({"model_id": "a", "parent_model_id": "a"})[1]


def test_a_lineage_that_points_nowhere_is_refused() -> None:
    field, told = refusal({"model_id": "a"}, {"model_id": "b", "parent_model_id": "gone"})
    assert field == "nodes"
    assert "'gone'" in told


def test_a_model_that_is_listed_twice_is_refused() -> None:
    assert "listed twice" in refusal({"model_id": "a"}, {"model_id": "a"})[1]


@given(st.lists(st.integers(min_value=0), max_size=30), st.randoms())
def test_every_node_has_a_lineage_from_the_input_model_to_itself(choices: list[int], random: Any) -> None:
    parents: list[int | None] = [None, *(choice % (index + 1) for index, choice in enumerate(choices))]
    nodes = [
        {"model_id": f"m{index}", "parent_model_id": None if parent is None else f"m{parent}"}
        for index, parent in enumerate(parents)
    ]
    random.shuffle(nodes)
    sound = footprint(*nodes)
    for node in sound.nodes:
        line = sound.lineage(node.model_id)
        assert line[0].model_id == "m0"
        assert line[-1] == node
        assert [step.model_id for step in line[:-1]] == [step.parent_model_id for step in line[1:]]


def test_a_long_lineage_is_read_without_recursion() -> None:
    chain = [{"model_id": "m0"}, *({"model_id": f"m{i}", "parent_model_id": f"m{i - 1}"} for i in range(1, 5000))]
    assert len(footprint(*reversed(chain)).lineage("m4999")) == 5000


@pytest.mark.parametrize("value", [True, False, "0.5", "nan", "", [1], {"value": 1}])
def test_a_metric_that_is_no_number_is_refused_and_named(value: object) -> None:
    field, told = refusal(metric(value))
    assert field == "nodes.0.metrics.accuracy-top1.value"
    assert "must be a number" in told


@pytest.mark.parametrize(
    ("others", "field"),
    [
        ({"priority": "1"}, "priority"),
        ({"priority": True}, "priority"),
        ({"priority": -2}, "priority"),
        ({"priority": 1.5}, "priority"),
        ({"higher_is_better": "yes"}, "higher_is_better"),
        ({"higher_is_better": 1}, "higher_is_better"),
        ({"unit": "ms"}, "unit"),
    ],
)
def test_a_metric_of_the_wrong_shape_is_refused_and_the_field_named(others: dict[str, Any], field: str) -> None:
    assert refusal(metric(0.5, **others))[0] == f"nodes.0.metrics.accuracy-top1.{field}"


@pytest.mark.parametrize("json", ["NaN", '"NaN"'])
def test_not_a_number_is_read_in_both_spellings_and_written_as_text(json: str) -> None:
    read = Metric.model_validate_json(f'{{"value": {json}, "higher_is_better": true}}')
    assert isinstance(read.value, float)
    assert math.isnan(read.value)
    assert '"NaN"' in read.model_dump_json()


@pytest.mark.parametrize(("json", "sign"), [("Infinity", 1), ('"Infinity"', 1), ("-Infinity", -1), ('"-Infinity"', -1)])
def test_infinity_is_read_in_both_spellings_and_keeps_its_sign(json: str, sign: int) -> None:
    read = Metric.model_validate_json(f'{{"value": {json}, "higher_is_better": true}}')
    assert read.value == sign * math.inf
    assert Metric.model_validate_json(read.model_dump_json()) == read


@given(st.one_of(st.none(), st.integers(), st.floats(allow_nan=False)))
def test_a_value_is_the_same_after_the_wire(value: float | None) -> None:
    sent = Metric(value=value, higher_is_better=False)
    received = Metric.model_validate_json(sent.model_dump_json())
    assert received == sent
    assert type(received.value) is type(sent.value)


def test_a_metric_without_priority_is_no_objective() -> None:
    assert Metric(value=1, higher_is_better=True).priority == -1
