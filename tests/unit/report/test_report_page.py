from __future__ import annotations

import itertools
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
from support.reports import ENGINE, HOSTILE, MadeUp, crowded, hostile, made, page_of, pages, verdicts

from packhouse.schemas.files import Unavailable

DATA = Path(__file__).parents[2] / "data"
VOID = {"meta", "link", "br"}
KINDS = ["two-accelerators", "search", "crowded", "one-objective", "no-objective", "hostile"]


@cache
def every() -> dict[str, bytes]:
    return pages(DATA)


def page(kind: str) -> str:
    return every()[kind].decode("utf-8")


class Outline(HTMLParser):
    """Reads a page, and fails where an element is not closed by its own end."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        assert len({name for name, _ in attrs}) == len(attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join("".join(self.text).split())


@cache
def outline_of(kind: str) -> Outline:
    return Outline(page(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_is_whole_and_every_reference_in_it_leads_somewhere(kind: str) -> None:
    outline = outline_of(kind)
    ids = [attributes["id"] for _, attributes in outline.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    for tag, attributes in outline.elements:
        if tag == "a":
            assert str(attributes["href"]).startswith("#")
            assert str(attributes["href"])[1:] in ids
        assert all(each in ids for each in str(attributes.get("aria-labelledby") or "").split())


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_holds_nothing_that_runs_or_is_fetched(kind: str) -> None:
    outline = outline_of(kind)
    names = {tag for tag, _ in outline.elements}
    assert not names & {"script", "img", "iframe", "object", "embed", "form", "base", "image", "foreignobject", "use"}
    for tag, attributes in outline.elements:
        assert not any(name.startswith("on") or name in ("src", "style", "srcset") for name in attributes)
        assert tag != "link" or attributes == {"rel": "icon", "href": "data:,"}
    policy = next(a["content"] for _, a in outline.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


@pytest.mark.parametrize("kind", KINDS)
def test_headings_are_in_order_and_columns_have_heads(kind: str) -> None:
    outline = outline_of(kind)
    levels = [int(tag[1]) for tag, _ in outline.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert all(attributes.get("scope") in ("col", "row") for tag, attributes in outline.elements if tag == "th")
    assert ("html", {"lang": "en"}) in outline.elements


def test_the_same_run_gives_the_same_bytes() -> None:
    assert every() == pages(DATA)


@pytest.mark.parametrize("kind", KINDS)
def test_no_directory_of_the_engine_is_on_a_page(kind: str) -> None:
    assert ENGINE not in outline_of(kind).words.replace(" ", "")
    assert ENGINE not in page(kind)


def test_names_that_are_markup_stay_names() -> None:
    text = page("hostile")
    assert "<svg onload" not in text
    assert "<img" not in text
    assert "&lt;svg onload=alert(1)&gt;" in text
    assert "\u202e" not in text
    assert "[U+202E]gnp" in text
    assert "\0" not in text
    assert outline_of("hostile").words.count("onload=alert(1)") > 10


def test_texts_without_end_are_cut() -> None:
    text = page("hostile")
    assert "W" * 70 not in text
    assert "x" * 400 not in text
    assert "characters more" in text


def test_five_thousand_nodes_and_two_hundred_candidates_fit_on_a_page() -> None:
    assert len(every()["crowded"]) < 700_000
    words = outline_of("crowded").words
    assert "Of 4,620 other measured models" in words
    assert "Not in the chart, for want of a finite value: numbers 121, 125, 183." in words
    assert "The same of the other 133 candidates is in their folders." in words


def test_a_page_is_bounded_whatever_a_run_holds() -> None:
    run = MadeUp({f"{'<' * 900}{at}": (at + 1, True) for at in range(60)})
    settings = {f"{at}{'&' * 900}": ["<" * 500] * 20 for at in range(5)}
    for at in range(210):
        run.node("cpu-cpu", *range(60), model_id=f"{at}{'<' * 1000}", from_pass='"' * 1000, pass_run_config=settings)
    assert len(made(run.run(), unavailable=[Unavailable(what="<" * 5000, reason="&" * 5000)] * 2000)) < 4_000_000


def test_the_outcome_is_told_in_a_sentence() -> None:
    words = outline_of("two-accelerators").words
    assert (
        "5_OrtPerfTuning-4-ddf5310f-cpu-cpu on cpu-cpu won: it equals number 2 in accuracy-accuracy_score, "
        "and has the lower latency-avg, 0.00889 against 0.01441." in words
    )
    assert "When2026-11-2207:15:45 to 07:15:50 UTC" in words
    assert "28 tried, 16 measured" in words
    first = "it has the highest accuracy-accuracy_score of all 5 candidates, 0.992188 against 0.989583 of number 2."
    assert first in outline_of("search").words


def test_other_outcomes_have_a_sentence_too() -> None:
    assert "won: the run has no objectives" in _outcome([()] * 2, {})
    assert "won: it is the only candidate." in _outcome([(1, 1)])
    assert "won: it equals number 2 on every objective" in _outcome([(1, 1), (1, 1)])
    assert "of all 2 candidates, 1 where number 2 has no value." in _outcome([(1, 1), (None, 1)])
    assert "and has the lower latency-avg, 1 where number 2 has no value." in _outcome([(1, 1), (1, float("nan"))])
    assert "of all 2 candidates, ∞ against 1 of number 2." in _outcome([(float("inf"), 1), (1, 1)])


def test_a_run_without_candidates_has_a_page() -> None:
    run = MadeUp()
    run.node("cpu-cpu", 1, 1, model=None)
    words = Outline(page_of(run.run())).words
    assert "Nothing to package" in words
    assert "Without a model: 1" in words


def test_the_chart_says_when_there_is_nothing_to_draw() -> None:
    run = MadeUp()
    run.node("cpu-cpu", None, float("inf"))
    assert (
        "There is no chart: no model has a finite value of accuracy and of latency-avg."
        in Outline(page_of(run.run())).words
    )
    assert "There is no chart: the run has no objectives." in outline_of("no-objective").words


def test_the_table_has_every_candidate_with_its_values_differences_and_verdict() -> None:
    words = outline_of("two-accelerators").words
    assert "Behind the one before: higher latency-avg (0.01441 against 0.00889)." in words
    assert "\N{MINUS SIGN}46.2 % better" in words
    assert "inconclusive Input ids cannot be made up: index 1 is out of bounds." in words
    assert "passed loaded and run on CPU" in words
    assert page("two-accelerators").count('<tr role="row"') == 1 + 3 + 3 * (1 + 4)


def test_a_candidate_is_told_with_its_passes_settings_and_files() -> None:
    words = outline_of("two-accelerators").words
    assert "OnnxDynamicQuantization4_OnnxDynamicQuantization-ae6cc121-35716dfdtook 15 ms" in words
    assert '"user_script": "<engine>/user_script.py"' in words
    assert "Left open: external_data_name, extra_options" in words
    assert '"graph_optimization_level": 99' in words
    assert "model.onnx 58.1 kB" in words


def test_what_is_left_out_missing_and_there_to_use_is_told() -> None:
    words = outline_of("two-accelerators").words
    assert "27 models are not in the package. The model that the run began with: 2" in words
    assert "Nothing that belongs into the package." in words
    assert "'CandidateModels/cpu-cpu/BestCandidateModel_1/model.onnx', providers=[\"CPUExecutionProvider\"]" in words
    assert "SampleCode/cpp, SampleCode/python." in words
    run = MadeUp()
    run.node("cpu-cpu", 1, 1)
    gap = Unavailable(what="onnxruntime-gpu 1.18.1", reason=f"The index at {ENGINE} has none.")
    words = Outline(page_of(run.run(), unavailable=[gap], others=["ONNXRuntimePackages/python/a.whl"])).words
    assert "onnxruntime-gpu 1.18.1The index at <engine> has none." in words
    assert "ONNXRuntimePackages/python." in words
    assert "SampleCode" not in words


def test_every_candidate_of_the_chart_is_drawn_once_in_each_width() -> None:
    event = crowded()
    found = re.findall(r'class="candidate dot', page("crowded"))
    assert len(found) == 2 * (len(verdicts(event)) - 3)


def test_a_long_lineage_is_told_in_part() -> None:
    run = MadeUp()
    for at in range(60):
        parent = f"n{at - 1}" if at else "input"
        run.node("cpu-cpu", 1, 1, model_id=f"n{at}", parent_model_id=parent, output=at == 59)
    words = Outline(page_of(run.run())).words
    assert "37 more steps" in words
    assert "n59" in words


def test_the_hostile_run_is_as_hostile_as_it_can_be() -> None:
    names = [node.model_id for node in hostile().footprints[0].nodes]
    assert any(HOSTILE in name for name in names)


def _outcome(values: list[tuple[float | None, ...]], objectives: dict[str, tuple[int, bool]] | None = None) -> str:
    run = MadeUp() if objectives is None else MadeUp(objectives)
    for each in values:
        run.node("cpu-cpu", *each)
    return Outline(page_of(run.run())).words
