"""``make faults``: every fault at random for as long as is asked for, and then the books.

``FAULTS_SECONDS`` (600) is how long, ``FAULTS_SEED`` what chance goes by; ``FAULTS_KINDS`` keeps to some kinds,
separated by commas. Ends with status 1 where anything was lost, doubled, half-written or left.
"""

# ruff: noqa: T201 (what it prints is what it is for)

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("PACKHOUSE_RUNTIME_SOURCE", "off")
sys.path.insert(0, str(Path(__file__).parents[1]))

from support.injuries import KINDS
from support.storm import Plan, Storm

DATA = Path(__file__).parents[1] / "data"
_EVERY = 15.0
"""Seconds between two lines of progress where nobody sits before a terminal."""


class Progress:
    """One line that is written over; lines now and then where there is no terminal."""

    def __init__(self) -> None:
        self._told = 0.0

    def __call__(self, text: str) -> None:
        if sys.stdout.isatty():
            print(f"\r{text:<110}", end="", flush=True)
        elif time.monotonic() - self._told > _EVERY:
            self._told = time.monotonic()
            print(text, flush=True)


def main() -> int:
    """Returns the exit status."""
    seed = int(os.environ.get("FAULTS_SEED", random.SystemRandom().randrange(10**6)))
    seconds = float(os.environ.get("FAULTS_SECONDS", "600"))
    kinds = tuple(filter(None, os.environ.get("FAULTS_KINDS", "").split(","))) or KINDS
    print(f"FAULTS_SEED={seed} FAULTS_SECONDS={seconds:.0f}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="packhouse-faults-"))
    plan = Plan(seed=seed, seconds=seconds, kinds=kinds, heavy=(64, 256), heavy_runs=8, repeated=5)
    outcome = Storm(plan, folder, DATA, Progress()).run()
    print(f"\n{outcome.table()}")
    if outcome.findings:
        print(f"\n{outcome.findings}\n\nThe books are wrong (FAULTS_SEED={seed}); logs are in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
