"""The report as Chromium shows it, from a file, at two widths and in both schemes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, Playwright, sync_playwright
from support.browser import Scheme, Seen, chromium, visit
from support.reports import pages

DATA = Path(__file__).parents[2] / "data"
CANDIDATES = {
    "two-accelerators": 3, "search": 5, "crowded": 180, "one-objective": 10, "no-objective": 0, "hostile": 4,
}  # fmt: skip
WINDOWS: list[tuple[int, int, Scheme]] = [
    (1280, 900, "light"), (1280, 900, "dark"), (390, 844, "light"), (390, 844, "dark"),
]  # fmt: skip
KINDS = list(CANDIDATES)
pytestmark = pytest.mark.full

CONTRASTS = """
() => {
  const rgba = colour => {
    const numbers = colour.match(/^rgba?\\((.*)\\)$/)[1].split(',').map(Number);
    return numbers.length === 4 ? numbers : [...numbers, 1];
  };
  const over = (top, below) => top.slice(0, 3).map((c, i) => c * top[3] + below[i] * (1 - top[3])).concat(1);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map(c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ratio = (one, other) => {
    const [a, b] = [light(one), light(other)].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  };
  const behind = element => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.push(rgba(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const seen = element => element.checkVisibility({visibilityProperty: true, contentVisibilityAuto: true});
  const found = {text: [], graphics: []};
  const add = (kind, element, colour, what) => {
    const ground = behind(element);
    found[kind].push([ratio(over(rgba(colour), ground), ground), what.trim().slice(0, 60)]);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());) {
    const element = node.parentElement;
    if (!node.data.trim() || !seen(element) || element.closest('title, desc')) continue;
    const style = getComputedStyle(element);
    add('text', element, element.closest('svg') ? style.fill : style.color, node.data);
  }
  for (const element of document.querySelectorAll('body *')) {
    for (const part of ['::before', '::after', '::marker']) {
      const style = getComputedStyle(element, part);
      if (style.content && !['none', 'normal', '""'].includes(style.content) && seen(element))
        add('text', element, style.color, style.content);
    }
  }
  for (const element of document.querySelectorAll('.dot, .ring, .core, .front, .other, .frame')) {
    if (!seen(element)) continue;
    const style = getComputedStyle(element);
    const filled = element.matches('.dot, .core');
    add('graphics', element, filled ? style.fill : style.stroke, element.getAttribute('class'));
  }
  return found;
}
"""
OVERFLOWING = """
() => {
  const width = document.scrollingElement.clientWidth;
  const wide = [...document.querySelectorAll('body *')]
    .filter(each => !each.closest('.skip') && each.checkVisibility() && !each.closest('thead'))
    .map(each => [each.getBoundingClientRect(), each])
    .filter(([box]) => box.width > 0 && (box.right > width + 0.5 || box.left < -0.5))
    .map(([box, each]) => `${each.tagName}.${each.getAttribute('class')}: ${box.left} to ${box.right}`);
  const cut = [...document.querySelectorAll('pre, table, td, section, figure, article')]
    .filter(each => each.clientWidth && each.scrollWidth > each.clientWidth + 1)
    .map(each => `${each.tagName}.${each.getAttribute('class')} scrolls`);
  return [...wide, ...cut];
}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages as files."""
    folder = tmp_path_factory.mktemp("reports")
    for name, page in pages(DATA).items():
        (folder / f"{name}.html").write_bytes(page)
    return folder


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module", params=WINDOWS, ids=lambda window: f"{window[0]}-{window[2]}")
def window(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, playwright: Playwright
) -> Iterator[BrowserContext]:
    width, height, scheme = request.param
    profile = tmp_path_factory.mktemp("profile")
    with chromium(playwright, profile, width=width, height=height, scheme=scheme) as context:
        yield context


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def seen(window: BrowserContext, folder: Path, kind: str) -> Iterator[Seen]:
    seen = visit(window, folder / f"{kind}.html")
    yield seen
    seen.page.close()


def open_all(page: Page, *, to: bool = True) -> None:
    page.evaluate("to => document.querySelectorAll('details').forEach(each => each.open = to)", to)


def test_a_page_asks_for_nothing_and_complains_of_nothing(seen: Seen, folder: Path, kind: str) -> None:
    open_all(seen.page)
    assert seen.requests == [(folder / f"{kind}.html").as_uri()]
    assert seen.complaints == []
    assert seen.page.evaluate("document.styleSheets[0].cssRules.length") > 50


def test_a_page_does_not_scroll_sideways_not_even_with_everything_open(seen: Seen) -> None:
    for opened in (False, True):
        open_all(seen.page, to=opened)
        widths = seen.page.evaluate("[document.scrollingElement.scrollWidth, document.scrollingElement.clientWidth]")
        assert widths[0] <= widths[1]
        assert seen.page.evaluate(OVERFLOWING) == []


def test_every_text_and_every_mark_stands_out_from_its_ground(seen: Seen, kind: str) -> None:
    open_all(seen.page)
    found: dict[str, list[Any]] = seen.page.evaluate(CONTRASTS)
    assert len(found["text"]) > 50
    assert [each for each in found["text"] if each[0] < 4.5] == []
    assert [each for each in found["graphics"] if each[0] < 3] == []
    assert len(found["graphics"]) > 2 * CANDIDATES[kind]


def test_one_chart_is_seen_with_a_point_for_every_candidate(seen: Seen, kind: str) -> None:
    charts = seen.page.locator("svg.chart:visible")
    assert charts.count() == (1 if CANDIDATES[kind] else 0)
    points = charts.locator(".candidate")
    assert points.count() == CANDIDATES[kind]
    if CANDIDATES[kind]:
        outside = """points => points.filter(point => {
          const [box, paper] = [point, point.ownerSVGElement].map(each => each.getBoundingClientRect());
          return box.left < paper.left || box.right > paper.right || box.top < paper.top || box.bottom > paper.bottom;
        }).length"""
        assert points.evaluate_all(outside) == 0


def test_texts_of_a_chart_do_not_cover_each_other(seen: Seen) -> None:
    covering = """() => {
      const texts = [...document.querySelectorAll('svg.chart text')].filter(each => each.checkVisibility())
        .map(each => [each.getBoundingClientRect(), each.textContent]);
      return texts.flatMap(([one, a], at) => texts.slice(at + 1)
        .filter(([two]) => one.left < two.right - 1 && two.left < one.right - 1
          && one.top + 2 < two.bottom - 2 && two.top + 2 < one.bottom - 2)
        .map(([, b]) => `${a} / ${b}`));
    }"""
    assert seen.page.evaluate(covering) == []


def test_the_keyboard_reaches_what_can_be_opened_and_shows_where_it_is(seen: Seen) -> None:
    open_all(seen.page, to=False)
    summary = seen.page.locator("summary").first
    summary.focus()
    seen.page.keyboard.press("Enter")
    assert summary.evaluate("each => each.parentElement.open")
    assert summary.evaluate("each => getComputedStyle(each).outlineStyle") == "solid"


def test_a_page_works_without_scripts(playwright: Playwright, tmp_path: Path, folder: Path) -> None:
    with chromium(playwright, tmp_path, width=390, height=844, scheme="light", scripts=False) as context:
        seen = visit(context, folder / "two-accelerators.html")
        assert seen.complaints == []
        assert seen.page.locator("svg.chart:visible .candidate").count() == 3
        settings = seen.page.locator("pre", has_text="graph_optimization_level").first
        assert not settings.is_visible()
        seen.page.locator("summary", has_text="How to open it").first.click()
        assert settings.is_visible()


def test_a_printed_page_is_light_and_shows_what_is_closed(playwright: Playwright, tmp_path: Path, folder: Path) -> None:
    with chromium(playwright, tmp_path, width=1280, height=900, scheme="dark") as context:
        page = visit(context, folder / "two-accelerators.html").page
        page.emulate_media(media="print", color_scheme="dark")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert page.locator("pre", has_text="graph_optimization_level").first.is_visible()
        assert not page.locator("nav").is_visible()
        assert len(page.pdf()) > 20_000
