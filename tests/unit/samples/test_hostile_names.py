"""What a model is called, and what it calls its inputs, never becomes code."""

from __future__ import annotations

import ast
import io
import re
import tokenize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.sampled import sampled

from packhouse.worker.models.signature import SequenceType, Signature, TensorType, Value
from packhouse.worker.samples import escaping
from packhouse.worker.samples.code import sample_code
from packhouse.worker.samples.model import SampleGraph

PARTS = st.sampled_from([
    *['"', "'", "\\", "\n", "\r", "\u2028", "\u202e", "*/", "/*", "//", "#", "{{", "}}", "{%", "{#", "```"],
    *["`", "<!--", "<script>", "??/", '"""', "'''", '"; system("true"); //', "import os", "\x00", "\ud800"],
    *["\U0001f600", 'R"(', ')"'],
])  # fmt: skip
HOSTILE = st.lists(PARTS | st.text(max_size=5), min_size=1, max_size=6).map("".join)

CPP_STRING = re.compile(r'"(?:[^"\\\n\r]|\\[0-7]{3})*"')
CSHARP_STRING = re.compile(r'"(?:[^"\\\n\r]|\\u[0-9a-f]{4})*"')


few = settings(max_examples=40, deadline=None)
"""For what renders every file twice."""


def code_without_strings(text: str, string: re.Pattern[str]) -> list[str]:
    """Lines of a program of C's kind, comments left out and every string literal as two quotes."""
    lines = []
    for line in text.splitlines():
        bare = string.sub('""', line)
        lines.append(bare.partition("//")[0].rstrip())
    return [line for line in lines if line.strip()]


def named(text: str):
    inputs = (
        Value(text, TensorType("float", (1, text, None))),
        Value(text + "2", SequenceType(TensorType(text, None))),
    )
    return sampled(Signature(inputs, (Value(text, TensorType("int64", ())),)), shapes={text: (1, 2, 3)})


@given(HOSTILE)
def test_a_literal_of_python_says_the_text_in_one_line(text):
    literal = escaping.python(text)
    assert ast.literal_eval(literal) == text
    assert literal.isascii()
    assert literal.isprintable()


@given(HOSTILE)
def test_a_literal_of_cpp_says_the_text_in_utf_8_and_ends_where_it_ends(text):
    literal = escaping.cpp(text)
    assert CPP_STRING.fullmatch(literal)
    data = re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found.group(1), 8)]), literal[1:-1].encode("ascii"))
    assert data == text.encode("utf-8", "surrogatepass")
    assert not re.search(r"\*/|\?\?|/\*", literal)


@given(HOSTILE)
def test_a_literal_of_csharp_says_the_text_and_ends_where_it_ends(text):
    literal = escaping.csharp(text)
    assert CSHARP_STRING.fullmatch(literal)
    units = re.sub(r"\\u([0-9a-f]{4})", lambda found: chr(int(found.group(1), 16)), literal[1:-1])
    assert units.encode("utf-16-be", "surrogatepass") == text.encode("utf-16-be", "surrogatepass")
    assert not re.search(r"\*/|/\*", literal)


@given(HOSTILE)
def test_a_code_span_of_markdown_is_one_line_and_is_not_closed_by_the_text(text):
    span = escaping.markdown(text)
    assert span.isprintable()
    fence = re.match(r"`+", span)
    assert fence
    assert span.endswith(fence.group())
    assert fence.group() not in re.findall(r"`+", span[len(fence.group()) : -len(fence.group())])


@few
@given(HOSTILE)
def test_the_python_sample_of_a_hostile_model_differs_in_strings_and_comments_only(text):
    def structure(model) -> list[tuple[int, str]]:
        source = sample_code(model)["SampleCode/python/sample.py"].data.decode()
        compile(source, "sample.py", "exec", dont_inherit=True)
        tokens = tokenize.generate_tokens(io.StringIO(source).readline)
        return [(each.type, "" if each.type in (tokenize.STRING, tokenize.COMMENT) else each.string) for each in tokens]

    assert structure(named(text)) == structure(named("tame"))


@pytest.mark.parametrize(("language", "string"), [("cpp", CPP_STRING), ("csharp", CSHARP_STRING)])
@few
@given(text=HOSTILE)
def test_the_compiled_samples_of_a_hostile_model_differ_in_strings_and_comments_only(language, string, text):
    hostile, tame = sample_code(named(text)), sample_code(named("tame"))
    programs = [path for path in tame if path.startswith(f"SampleCode/{language}/") and not path.endswith(".md")]
    assert len(programs) > 1
    for path in programs:
        one, other = hostile[path].data.decode(), tame[path].data.decode()
        assert code_without_strings(one, string) == code_without_strings(other, string)
        assert len(one.splitlines()) == len(other.splitlines())


@few
@given(HOSTILE)
def test_the_readmes_of_a_hostile_model_have_the_lines_of_any_other(text):
    def lines_of(model) -> dict[str, int]:
        made = sample_code(model)
        return {path: made[path].data.decode().count("\n") for path in made if path.endswith(".md")}

    assert lines_of(named(text)) == lines_of(named("tame"))


@few
@given(HOSTILE)
def test_a_hostile_file_or_folder_or_reason_stays_in_its_place(text):
    graph = SampleGraph(text, None, {})
    made = sample_code(sampled(folder=text, graphs=(graph,)))
    compile(made["SampleCode/python/sample.py"].data, "sample.py", "exec", dont_inherit=True)
    tame = sample_code(sampled(type="x", no_code="x"))["SampleCode/README.md"].data.decode()
    readme = sample_code(sampled(type=text, no_code=text))["SampleCode/README.md"].data.decode()
    assert readme.count("\n") == tame.count("\n")
    assert "<script>" not in readme.replace("\\<", "").partition("reason")[2]
