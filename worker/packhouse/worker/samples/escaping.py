"""Texts that a model chose, such as names of inputs, as literals of the languages that samples are written in.

A name can be any text at all: ``"; system("…"); //`` must stay a name. So every literal is ASCII, begins and ends
with its quotes, and holds no line break, no quote, no end of a comment and nothing that a preprocessor reads: it is
safe in a comment too.
"""

from __future__ import annotations

import re
from typing import Final

_PLAIN: Final = re.compile(r"[A-Za-z0-9 _.,:;=+\-/(){}\[\]<>!#$%&@^|~']")
_MARKUP: Final = frozenset("\\`*_{}[]<>#|~&$!")
_LONGEST: Final = 120
"""Characters of a name that is shown to people."""


def python(text: str) -> str:
    """A string literal of Python, single line, ASCII."""
    return ascii(text)


def cpp(text: str) -> str:
    """A narrow string literal of C++ that holds the text in UTF-8. Octal escapes end after three digits, always."""
    data = text.encode("utf-8", "surrogatepass")
    return '"' + "".join(chr(byte) if _PLAIN.match(chr(byte)) else f"\\{byte:03o}" for byte in data) + '"'


def csharp(text: str) -> str:
    r"""A regular string literal of C#, every UTF-16 unit that is not plain ASCII as ``\uXXXX``."""
    data = text.encode("utf-16-be", "surrogatepass")
    units = [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]
    return '"' + "".join(chr(unit) if _PLAIN.match(chr(unit)) else f"\\u{unit:04x}" for unit in units) + '"'


def markdown(text: str) -> str:
    """A code span of Markdown, for a list or a paragraph: shown as it is, never read as markup or HTML."""
    shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in short(text))
    longest = max((len(run) for run in re.findall(r"`+", shown)), default=0)
    fence = "`" * (longest + 1)
    room = " " if not shown.strip() or shown.startswith(("`", " ")) or shown.endswith(("`", " ")) else ""
    return f"{fence}{room}{shown}{room}{fence}"


def plain(text: str) -> str:
    """A sentence of ours for Markdown, which may quote what a model is called: no markup, no HTML, one line."""
    shown = " ".join(text.split())
    return "".join(
        f"\\{character}"
        if character in _MARKUP
        else character
        if character.isprintable()
        else "\N{REPLACEMENT CHARACTER}"
        for character in shown
    )


def short(text: str) -> str:
    """The text as far as it is worth showing: the first hundred characters or so, and an ellipsis."""
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
