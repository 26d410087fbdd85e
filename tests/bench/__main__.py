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
from pathlib import Path

from bench.registry import Bench, NotHere, Row, rows
from bench.table import Outcome, as_markdown

DEFAULT_MIB = 1024
DEFAULT_PAIRS = 5


def main() -> int:
    known = rows()
    asked = [name for name in os.environ.get("BENCH_ROWS", "").split(",") if name] or ["*"]
    wanted = list(dict.fromkeys(name for pattern in asked for name in fnmatch.filter(known, pattern)))
    if unknown := [pattern for pattern in asked if not fnmatch.filter(known, pattern)]:
        say(f"There is no row {', '.join(unknown)}. There are: {', '.join(known)}.")
        return 2
    outcomes: list[Outcome] = []
    for name in wanted:
        began = time.monotonic()
        outcomes.append(take(known[name]))
        say(f"{name}: {outcomes[-1].cells()[2]}, after {time.monotonic() - began:.0f} s")
    say("", as_markdown(outcomes))
    if path := os.environ.get("BENCH_JSON"):
        machine = {"cpus": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()}
        document = {"machine": machine, "rows": [outcome.as_json() for outcome in outcomes]}
        Path(path).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return int(any(outcome.failed for outcome in outcomes))


def take(row: Row) -> Outcome:
    folder = Path(tempfile.mkdtemp(prefix=f"packhouse-bench-{row.name}-", dir=os.environ.get("BENCH_DIR")))
    mib, count = int(os.environ.get("BENCH_MIB", DEFAULT_MIB)), int(os.environ.get("BENCH_PAIRS", DEFAULT_PAIRS))
    try:
        return Outcome(row, row.measure(Bench(folder, mib, count)))
    except NotHere as missing:
        return Outcome(row, None, f"not here: {missing}")
    except Exception as error:  # noqa: BLE001 (the other rows are taken all the same; this one fails the run)
        return Outcome(row, None, f"failed: {type(error).__name__}: {error}".replace("\n", " ")[:300], failed=True)
    finally:
        shutil.rmtree(folder)


def say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


sys.exit(main())
