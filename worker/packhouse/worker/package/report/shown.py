"""Texts and numbers as people are shown them. Whatever an engine or a model wrote is taken for hostile.

HTML is escaped by the templates; here goes what escaping leaves: characters that cannot be seen or that turn the
direction of what follows, heaps of marks on one letter, and texts without end.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from packhouse.schemas.text import visible
from packhouse.worker.package.scrub import Scrubber

NO_VALUE: Final = "no value"
MINUS: Final = "\N{MINUS SIGN}"
TIMES: Final = "\N{MULTIPLICATION SIGN}"

_GROUPED_BELOW: Final = 10**12
_UNITS: Final = ("kB", "MB", "GB", "TB", "PB", "EB")
_THOUSAND: Final = 1000
_YEAR_10000: Final = 253402300800


class Words:
    """Texts of an engine or a model, without the directories of the engine's machine."""

    def __init__(self, scrub: Scrubber) -> None:
        self._scrub = scrub

    def name(self, text: str, longest: int = 96) -> str:
        """A name on one line. One that is too long keeps its beginning and its end, which is where names differ."""
        return visible(shortened(self._scrub.text(text), longest))

    def sentence(self, text: str, longest: int = 400) -> str:
        """A text on one line; line breaks become spaces."""
        text = " ".join(self._scrub.text(text).split())
        return visible(text[:longest]) + ("…" if len(text) > longest else "")

    def settings(self, value: Any, longest: int) -> str:
        """A JSON value as a person reads it, over several lines; cut where it is too long."""
        return block(json.dumps(self._scrub.json(value), indent=2, ensure_ascii=False), longest)


def shortened(text: str, longest: int) -> str:
    """The beginning and the end of a text that is longer than that."""
    end = longest // 3
    return text if len(text) <= longest else f"{text[: longest - end - 1]}…{text[-end:]}"


def block(text: str, longest: int) -> str:
    """A text of several lines, its line feeds kept; cut where it is too long, and it says so."""
    lines = (visible(line) for line in text[:longest].split("\n"))
    rest = len(text) - longest
    return "\n".join(lines) + (f"\n… and {rest:,} characters more" if rest > 0 else "")


def number(value: float | None) -> str:
    """A measured value: six digits that count, integers whole."""
    if value is None:
        return NO_VALUE
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < _GROUPED_BELOW else f"{Decimal(value):.5e}".replace("e+", "e")
    if math.isfinite(value):
        return f"{value:.6g}"
    return "NaN" if math.isnan(value) else "∞" if value > 0 else f"{MINUS}∞"


def pair(one: float | None, other: float | None) -> tuple[str, str]:
    """Two values that differ, with as many digits as it takes to see that."""
    if isinstance(one, float) and isinstance(other, float) and number(one) == number(other):
        return repr(one), repr(other)
    return number(one), number(other)


def exact(value: float | None) -> Fraction | None:
    """The value as it was written, without rounding, or None where it is missing, NaN or infinite."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return Fraction(repr(value))


def size(count: int) -> str:
    """Bytes in the unit that suits: ``512 B``, ``58.1 kB``."""
    if count < _THOUSAND:
        return f"{count} B"
    amount, unit = float(count), ""
    for unit in _UNITS:  # noqa: B007 (the last one stays)
        amount /= _THOUSAND
        if amount < _THOUSAND:
            break
    return f"{amount:.3g} {unit}"


def moment(seconds: float) -> str | None:
    """Seconds since 1970 as a date and a time in UTC; None where an engine wrote what is no time, or zero for none."""
    if not 0 < seconds < _YEAR_10000:
        return None
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"


def duration(seconds: float) -> str:
    """How long something took: ``45 ms``, ``3.2 s``, ``2 h 5 min``."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:  # noqa: PLR2004 (seconds of a minute)
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"  # noqa: PLR2004 (of an hour)
