from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from packhouse.schemas.base import canonical_json, content_digest
from packhouse.schemas.errors import explain
from packhouse.schemas.events import RunFinished, content_digest_of
from packhouse.schemas.export.example import run_finished_example

wire_numbers = st.one_of(st.none(), st.integers(), st.floats())
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=8,
)


def on_the_wire() -> dict[str, Any]:
    return json.loads(run_finished_example().to_wire())


def refused(event: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as caught:
        RunFinished.model_validate(event)
    return explain(caught.value)


def test_an_event_is_the_same_after_the_wire() -> None:
    event = run_finished_example()
    assert RunFinished.model_validate_json(event.to_wire()) == event


@given(
    value=wire_numbers, config=st.dictionaries(st.text(max_size=8), json_values, max_size=4), name=st.text(min_size=1)
)
def test_the_wire_keeps_the_content_digest(value: float | None, config: dict[str, Any], name: str) -> None:
    event = on_the_wire()
    node = event["data"]["footprints"][0]["nodes"][1]
    node["pass_run_config"] = config
    node["metrics"] = {name[:100]: {"value": value, "higher_is_better": True}}
    sent = RunFinished.model_validate(event)
    received = RunFinished.model_validate_json(sent.to_wire())
    assert received.content_digest == sent.content_digest
    assert received.to_wire() == sent.to_wire()
    assert content_digest_of(json.loads(sent.to_wire())) == sent.content_digest


def test_two_events_of_one_content_have_one_digest_and_ids_of_their_own() -> None:
    data = run_finished_example().data
    first = RunFinished.of(data, source="/farm", run_id="r")
    second = RunFinished.of(data, source="/farm", run_id="r")
    assert first.id != second.id
    assert first.content_digest == second.content_digest


def test_another_content_has_another_digest() -> None:
    event = on_the_wire()
    digest = content_digest_of(event)
    event["data"]["top"] = 1
    assert content_digest_of(event) != digest


@given(json_values)
def test_the_canonical_spelling_is_a_spelling_of_the_same_value(value: Any) -> None:
    assert json.loads(canonical_json(value)) == value


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=5), st.randoms())
def test_the_order_of_keys_does_not_change_a_digest(value: dict[str, Any], random: Any) -> None:
    keys = list(value)
    random.shuffle(keys)
    assert content_digest({key: value[key] for key in keys}) == content_digest(value)


@pytest.mark.parametrize("version", ["urn:packhouse:run-finished:2", "", None, 1])
def test_an_unknown_version_of_the_schema_is_refused_and_named(version: object) -> None:
    ((field, told),) = refused({**on_the_wire(), "dataschema": version})
    assert field == "dataschema"
    assert "urn:packhouse:run-finished:1" in told


@pytest.mark.parametrize("missing", ["id", "source", "subject", "data"])
def test_a_missing_attribute_is_named(missing: str) -> None:
    event = on_the_wire()
    del event[missing]
    assert refused(event) == [(missing, "Field required")]


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (("specversion",), "0.3", "specversion"),
        (("type",), "packhouse.run.started", "type"),
        (("datacontenttype",), "text/xml", "datacontenttype"),
        (("time",), "2024-06-01T12:00:00", "time"),
        (("subject",), "a\x00b", "subject"),
        (("subject",), "x" * 257, "subject"),
        (("data", "output_dir"), "relative/out", "data.output_dir"),
        (("data", "output_dir"), "/nul\x00", "data.output_dir"),
        (("data", "engine", "directories"), ["/"], "data.engine.directories.0"),
        (("data", "engine", "directories"), ["C:\\"], "data.engine.directories.0"),
        (
            ("data", "engine", "runtime_packages"),
            [{"name": "a b", "version": "1"}],
            "data.engine.runtime_packages.0.name",
        ),
        (("data", "paths"), "mine", "data.paths"),
        (("data", "top"), 0, "data.top"),
        (("data", "top"), True, "data.top"),
        (("data", "packaging_config"), [{"type": "Tarball"}], "data.packaging_config.0.type"),
        (("data", "extra"), 1, "data.extra"),
        (("data", "footprints", 0, "accelerator"), "cpu-warp", "data.footprints.0.accelerator.execution_provider"),
    ],
)
def test_a_bad_value_is_refused_and_its_field_named(path: tuple[Any, ...], value: object, field: str) -> None:
    event = on_the_wire()
    inner: Any = event
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    assert [named for named, _ in refused(event)][:1] == [field]


def test_two_footprints_of_one_accelerator_are_refused() -> None:
    event = on_the_wire()
    event["data"]["footprints"] *= 2
    assert "two footprints" in refused(event)[0][1]


def test_a_metric_that_changes_direction_between_models_is_refused() -> None:
    event = on_the_wire()
    nodes = event["data"]["footprints"][0]["nodes"]
    nodes[0]["metrics"] = {"latency-avg": {"value": 50, "priority": 2, "higher_is_better": True}}
    assert "candidates cannot be compared" in refused(event)[0][1]


def test_extensions_of_the_envelope_are_kept_and_misspelt_attributes_refused() -> None:
    event = {**on_the_wire(), "traceparent": "00-aa-bb-01"}
    assert json.loads(RunFinished.model_validate(event).to_wire())["traceparent"] == "00-aa-bb-01"
    assert "data_schema" in refused({**on_the_wire(), "data_schema": "x"})[0][1]
