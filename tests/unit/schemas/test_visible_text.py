from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packhouse.schemas.text import visible, visible_json


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("résumé-模型.onnx", "résumé-模型.onnx"),
        ("\x1b[2Jgone", "[U+001B][2Jgone"),
        ("\x9b31m", "[U+009B]31m"),
        ("two\nlines\r", "two[U+000A]lines[U+000D]"),
        ("gpj.\N{RIGHT-TO-LEFT OVERRIDE}exe", "gpj.[U+202E]exe"),
        ("a\N{ZERO WIDTH SPACE}b", "a[U+200B]b"),
        ("\ud800", "[U+D800]"),
        ("e" + "\N{COMBINING ACUTE ACCENT}" * 5, "e" + "\N{COMBINING ACUTE ACCENT}" * 3 + "[U+0301]" * 2),
    ],
)
def test_what_cannot_be_seen_is_spelled_out(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text())
def test_whatever_a_text_is_it_is_one_line_of_characters_that_command_nothing(text: str) -> None:
    assert not any(unicodedata.category(character)[0] == "C" for character in visible(text))
    assert len(visible(text).splitlines()) <= 1


@given(st.recursive(st.text() | st.integers() | st.none(), lambda inner: st.dictionaries(st.text(), inner)))
def test_json_keeps_its_value_and_is_plain_ascii(value: object) -> None:
    document = visible_json(json.dumps(value, ensure_ascii=False))
    assert document.isascii()
    assert "\x7f" not in document
    assert json.loads(document) == value
