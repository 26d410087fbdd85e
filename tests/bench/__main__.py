"""``make bench``: takes the rows and prints the table. README.md of this folder tells how to ask for part of it."""

from __future__ import annotations

import fnmatch
import json
import os
import platform
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

from bench.registry import Bench, NotHere, Row, rows
from bench.table import Outcome, as_markdown

DEFAULTS = {"BENCH_MIB": 1024, "BENCH_PAIRS": 5, "BENCH_SLOW_PAIRS": 3}
"""As ``Bench`` takes them."""


def main() -> int:
    known = rows()
    asked = [name for name in os.environ.get("BENCH_ROWS", "").split(",") if name] or ["*"]
    wanted = list(dict.fromkeys(name for pattern in asked for name in fnmatch.filter(known, pattern)))
    if unknown := [pattern for pattern in asked if not fnmatch.filter(known, pattern)]:
        say(f"There is no row {', '.join(unknown)}. There are: {', '.join(known)}.")
        return 2
    outcomes: list[Outcome] = []
    started = time.monotonic()
    for place, name in enumerate(wanted, 1):
        began = time.monotonic()
        say(f"{clock(began - started)} {place}/{len(wanted)} {name}: {known[name].what}")
        outcomes.append(take(known[name]))
        say(f"      {outcomes[-1].cells()[2]}, after {time.monotonic() - began:.0f} s")
        if path := os.environ.get("BENCH_JSON"):
            keep(Path(path), outcomes)
    say("", as_markdown(outcomes))
    return int(any(outcome.failed for outcome in outcomes))


def take(row: Row) -> Outcome:
    """One row. Whatever goes wrong in it is what the table says of it, and the others are taken all the same."""
    folder: Path | None = None
    try:
        place = Path(os.environ.get("BENCH_DIR") or tempfile.gettempdir())
        place.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"packhouse-bench-{row.name}-", dir=place))
        return Outcome(row, row.measure(Bench(folder, *(number(name) for name in DEFAULTS))))
    except NotHere as missing:
        return Outcome(row, None, f"not here: {missing}")
    except Exception as error:  # noqa: BLE001 (it fails the run at its end)
        why = "".join(traceback.format_exception(error))
        sys.stderr.write(why)
        return Outcome(row, None, f"failed: {type(error).__name__}: {error}".replace("\n", " ")[:300], failed=True)
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def keep(path: Path, outcomes: list[Outcome]) -> None:
    """After each row: what was measured outlives whatever ends the run."""
    machine = {"cpus": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()}
    document = {"machine": machine, "rows": [outcome.as_json() for outcome in outcomes]}
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def number(name: str) -> int:
    return int(os.environ.get(name) or DEFAULTS[name])


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60:02}:{int(seconds) % 60:02}"


def say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


sys.exit(main())
