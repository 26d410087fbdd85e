from __future__ import annotations

import math
import unicodedata
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packhouse.worker.package.report import shown
from packhouse.worker.package.report.deltas import delta
from packhouse.worker.package.report.shown import Words
from packhouse.worker.package.scrub import Scrubber

WORDS = Words(Scrubber(["/srv/olive"]))
ANY = st.characters()


@given(st.text(ANY, max_size=300), st.integers(3, 60))
def test_whatever_a_name_is_it_is_one_short_line_of_visible_characters(text: str, longest: int) -> None:
    found = WORDS.name(text, longest)
    found.encode("utf-8")
    assert len(found) <= longest * len("[U+10FFFF]")
    assert not {unicodedata.category(each) for each in found} & {"Cc", "Cf", "Cs", "Zl", "Zp"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("plain name", "plain name"), ("a\u202egnp.exe", "a[U+202E]gnp.exe"), ("a\u200bb", "a[U+200B]b"),
        ("a\nb\0", "a[U+000A]b[U+0000]"), ("\ud800", "[U+D800]"), ("e\u0301", "e\u0301"),
        ("e" + "\u0301" * 5, "e" + "\u0301" * 3 + "[U+0301]" * 2), ("/srv/olive/x.py", "<engine>/x.py"),
    ],
)  # fmt: skip
def test_what_cannot_be_seen_or_turns_the_direction_is_spelled_out(text: str, found: str) -> None:
    assert WORDS.name(text) == found


def test_a_long_name_keeps_its_two_ends() -> None:
    found = WORDS.name("begin-" + "x" * 500 + "-end", 30)
    assert found.startswith("begin-x")
    assert found.endswith("x-end")
    assert len(found) == 30


def test_a_directory_is_scrubbed_before_a_text_is_cut() -> None:
    assert WORDS.sentence("y" * 10 + " /srv/olive/x", 16) == "y" * 10 + " <engi…"
    assert "/srv" not in WORDS.name("/srv/olive/" + "z" * 200, 20)
    assert "/srv" not in WORDS.settings({"a": ["/srv/olive/b"]}, 1000)


def test_a_block_keeps_its_lines_and_says_what_was_cut() -> None:
    assert shown.block("a\n  b\tc", 100) == "a\n  b[U+0009]c"
    assert shown.block("abc", 1) == "a\n… and 2 characters more"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "no value"), (0.9895833134651184, "0.989583"), (58084, "58,084"), (-5, "-5"), (math.nan, "NaN"),
        (math.inf, "∞"), (-math.inf, "\N{MINUS SIGN}∞"), (10**400, "1.00000e400"), (1e-300, "1e-300"), (0.0, "0"),
    ],
)  # fmt: skip
def test_numbers_are_shown_with_the_digits_that_count(value: float | None, text: str) -> None:
    assert shown.number(value) == text


def test_values_that_look_alike_get_the_digits_that_tell_them_apart() -> None:
    assert shown.pair(0.9799997, 0.9799998) == ("0.9799997", "0.9799998")
    assert shown.pair(0.5, 0.25) == ("0.5", "0.25")
    assert shown.pair(0.5, None) == ("0.5", "no value")


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (58084, "58.1 kB"), (2_147_483_648, "2.15 GB")]
)
def test_sizes_are_shown_in_the_unit_that_suits(count: int, text: str) -> None:
    assert shown.size(count) == text


@pytest.mark.parametrize("seconds", [0, -1.0, math.nan, math.inf, 1e300])
def test_what_is_no_time_is_not_shown_as_one(seconds: float) -> None:
    assert shown.moment(seconds) is None


def test_times_are_shown_in_utc() -> None:
    assert shown.moment(1795331745.185) == "2026-11-22 07:15:45"
    assert [shown.duration(each) for each in (0.045, 3.21, 59.9, 61, 7500)] == [
        "45 ms", "3.2 s", "59.9 s", "1 min", "2 h 5 min",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "base", "higher", "text", "word"),
    [
        (0.5, 1, False, "\N{MINUS SIGN}50 %", "better"), (0.5, 1, True, "\N{MINUS SIGN}50 %", "worse"),
        (1.5, 1, True, "+50 %", "better"), (1, 1, True, "same", ""),
        (25, 1, False, "\N{MULTIPLICATION SIGN} 25", "worse"),
        (0.25, 0, True, "+0.25", "better"), (-3, -2, True, "\N{MINUS SIGN}50 %", "worse"),
        (10**400, 1, True, "\N{MULTIPLICATION SIGN} ∞", "better"),
    ],
)  # fmt: skip
def test_a_difference_tells_how_far_and_whether_it_is_better(
    value: float, base: float, higher: bool, text: str, word: str
) -> None:
    found = delta(Fraction(value), Fraction(base), higher_is_better=higher)
    assert found is not None
    assert (found.text, found.word) == (text, word)


def test_without_a_value_there_is_no_difference() -> None:
    assert delta(None, Fraction(1), higher_is_better=True) is None
    assert delta(Fraction(1), None, higher_is_better=True) is None
    assert shown.exact(math.nan) is shown.exact(math.inf) is shown.exact(None) is None
