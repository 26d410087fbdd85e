"""Texts of others as people may be shown them: on a terminal, on a page, in a log.

Names, messages and metadata come from engines and models, and are taken for hostile: a character that cannot be seen
can command a terminal, turn the direction of what follows, or make one name look like another.
"""

from __future__ import annotations

import unicodedata
from typing import Final

_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_MARKS: Final = frozenset({"Mn", "Me"})
_MARKS_IN_A_ROW: Final = 3


def visible(text: str) -> str:
    """The text as one line, with what cannot be seen, and marks heaped on one letter, spelled out as ``[U+001B]``."""
    if text.isascii() and text.isprintable():
        return text
    shown: list[str] = []
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        marks = marks + 1 if category in _MARKS else 0
        if category in _UNSEEN or marks > _MARKS_IN_A_ROW:
            shown.append(f"[U+{ord(character):04X}]")
        else:
            shown.append(character)
    return "".join(shown)


def visible_json(text: str) -> str:
    """JSON of the same value in which nothing outside ASCII stands as it is: for programs, on people's terminals."""
    if text.isascii() and "\x7f" not in text:
        return text
    return "".join(character if character < "\x7f" else _escaped(character) for character in text)


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
