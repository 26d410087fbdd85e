"""The table that people read, and the JSON that programs do."""

from __future__ import annotations

import dataclasses
from typing import Any

from bench.measure import Measured, Usage
from bench.registry import Row

MIB = 1 << 20
HEAD = (
    "row", "what", "measured (lowest to highest)", "target", "limit", "",
    "CPU s", "wall s", "MiB read", "MiB written", "peak MiB",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A row that was taken: measured, or why not."""

    row: Row
    found: Measured | None
    why: str = ""
    failed: bool = False

    @property
    def met(self) -> bool | None:
        if self.found is None or self.row.target is None:
            return None
        return self.row.target.met(self.found.median)

    def cells(self) -> list[str]:
        row, found = self.row, self.found
        if found is None:
            return [row.name, row.what, self.why, str(row.target or ""), row.limit, "", "", "", "", "", ""]
        spread = f"{found.median:.3g} ({min(found.values):.3g} to {max(found.values):.3g})"
        verdict = {True: "met", False: "MISSED", None: ""}[self.met]
        what = f"{row.what}; {found.note}" if found.note else row.what
        pair = found.ours, found.peer
        return [
            row.name, what, spread, str(row.target or ""), row.limit, verdict,
            _both(pair, "cpu", 1), _both(pair, "wall", 1),
            _both(pair, "read", MIB), _both(pair, "written", MIB), _both(pair, "peak", MIB),
        ]  # fmt: skip

    def as_json(self) -> dict[str, Any]:
        found = self.found
        return {
            "row": self.row.name,
            "what": self.row.what,
            "target": str(self.row.target) if self.row.target else None,
            "limit": self.row.limit or None,
            "met": self.met,
            "why": self.why or None,
            "median": found.median if found else None,
            **(dataclasses.asdict(found) if found else {}),
        }


def as_markdown(outcomes: list[Outcome]) -> str:
    """A table in Markdown, its columns in line. Where a cell holds two figures, the first is ours."""
    lines = [list(HEAD), *(outcome.cells() for outcome in outcomes)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(HEAD))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def _both(pair: tuple[Usage | None, Usage | None], name: str, unit: int) -> str:
    values = [getattr(usage, name) for usage in pair if usage is not None]
    return " : ".join("?" if value is None else f"{value / unit:.3g}" for value in values).replace("? : ?", "")
