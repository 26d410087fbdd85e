"""The README's parts that follow from the code. ``python tests/support/readme.py`` writes them into it."""

from __future__ import annotations

import re
from pathlib import Path

from packhouse.worker.settings import Settings

README = Path(__file__).parents[2] / "README.md"
_SETTINGS = re.compile(r"(<!-- settings -->\n).*?(<!-- end of settings -->)", re.DOTALL)


def settings_table() -> str:
    """Every setting of a worker with its default."""
    rows = ["| variable | default | what it is |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        value = ";".join(field.default) if isinstance(field.default, tuple) else field.default
        default = "none" if value in ("", None) else f"`{value}`"
        rows.append(f"| `PACKHOUSE_{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows) + "\n"


def current(text: str) -> str:
    """The README as the code wants it."""
    return _SETTINGS.sub(lambda found: found[1] + settings_table() + found[2], text)


def example(name: str, guide: Path = README) -> str:
    """The code block after ``<!-- example: name -->``."""
    found = re.search(rf"<!-- example: {name} -->\n```\w+\n(.*?)```", guide.read_text("utf-8"), re.DOTALL)
    assert found, f"{guide.name} has no example {name}"
    return found[1]


if __name__ == "__main__":
    README.write_text(current(README.read_text("utf-8")), encoding="utf-8")
