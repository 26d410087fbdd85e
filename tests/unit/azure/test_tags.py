from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from packhouse.schemas import Engine, Metric, RunRef
from packhouse.schemas.accelerator import Accelerator
from packhouse.schemas.checks import CheckState, Verdict
from packhouse.schemas.ranking import Objective, RankedCandidate
from packhouse.schemas.text import visible
from packhouse.worker.azure.tags import (
    LONGEST_DESCRIPTION,
    LONGEST_KEY,
    LONGEST_VALUE,
    MOST_ENTRIES,
    describing,
    digest_in,
    properties_of,
    tags_of,
    within_limits,
)

PASSED = Verdict(state=CheckState.PASSED)
DIGEST = "sha256:" + "a" * 64
RUN = RunRef(source="/farm", id="run-1")


def candidate(**metrics: float | None) -> RankedCandidate:
    return RankedCandidate(
        rank=3,
        rank_in_accelerator=2,
        accelerator=Accelerator.parse("cpu-openvino"),
        model_id="m",
        reason="r",
        metrics={name: Metric(value=value, priority=1, higher_is_better=True) for name, value in metrics.items()},
    )


def objectives(*names: str) -> list[Objective]:
    return [Objective(name=name, priority=at + 1, higher_is_better=True) for at, name in enumerate(names)]


def test_tags_say_which_run_which_engine_where_it_stands_and_why() -> None:
    engine = Engine(name="olive", version="0.6.2")
    tags = tags_of(RUN, engine, objectives("b", "a"), candidate(a=0.5, b=1.0, c=2.0), DIGEST, PASSED)
    assert tags == {
        "packhouse_run": "run-1",
        "packhouse_source": "/farm",
        "engine": "olive",
        "engine_version": "0.6.2",
        "accelerator": "cpu-openvino",
        "rank": "3",
        "rank_in_accelerator": "2",
        "model_id": "m",
        "packhouse_digest": DIGEST,
        "packhouse_check": "passed",
        "metric_b": "1.0",
        "metric_a": "0.5",
    }


def test_what_is_not_known_has_no_tag() -> None:
    tags = tags_of(RUN, Engine(name="olive"), objectives("a", "b"), candidate(a=None), DIGEST, PASSED)
    assert not {"engine_version", "metric_a", "metric_b"} & set(tags)


def test_of_too_many_objectives_the_weightiest_stay() -> None:
    names = [f"m{number}" for number in range(80)]
    tags = tags_of(RUN, Engine(name="e"), objectives(*names), candidate(**dict.fromkeys(names, 0.0)), DIGEST, PASSED)
    assert len(tags) == MOST_ENTRIES
    assert "metric_m0" in tags
    assert "metric_m79" not in tags


@given(st.lists(st.tuples(st.text(), st.none() | st.text(max_size=3000)), max_size=120))
def test_whatever_there_is_to_say_stays_within_the_limits(pairs: list[tuple[str, str | None]]) -> None:
    entries = within_limits(pairs)
    assert len(entries) <= MOST_ENTRIES
    assert all(len(key) <= LONGEST_KEY and 0 < units(value) <= LONGEST_VALUE for key, value in entries.items())
    assert all(visible(value) == value for value in entries.values())
    assert within_limits(entries.items()) == entries


def units(text: str) -> int:
    """Of UTF-16, as the service counts."""
    return len(text.encode("utf-16-le")) // 2


@given(st.text(max_size=200).map(lambda text: text * 30))
def test_a_description_keeps_its_lines_and_nothing_else_that_cannot_be_seen(text: str) -> None:
    described = describing(text)
    assert described is not None
    assert units(described) <= LONGEST_DESCRIPTION
    assert visible(described.replace("\n", "")) == described.replace("\n", "")
    assert describing("of\r\ntwo\nlines \x1b") == "of\ntwo\nlines [U+001B]"


def test_the_digest_is_read_from_the_properties_before_the_tags() -> None:
    properties = properties_of(DIGEST, "plan", "1.0")
    assert digest_in(properties, {"packhouse_digest": "sha256:other"}) == DIGEST
    assert digest_in({}, {"packhouse_digest": DIGEST}) == DIGEST
    assert digest_in(None, None) is None
