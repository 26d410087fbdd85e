"""Engines in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

_SCRIPT = Path(__file__).with_name("engine_child.py")


def engine(
    redis_url: str,
    output_dir: Path | str,
    *arguments: str,
    enter: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """An engine that publishes the run in a folder; ``engine_child.py`` says what arguments there are."""
    command = [*enter, sys.executable, str(_SCRIPT), redis_url, str(output_dir), *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)


@contextmanager
def publishing(
    redis_url: str,
    output_dir: Path | str,
    *,
    first: int,
    pause: float,
    enter: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Generator[list[int]]:
    """An engine publishes one run after the other within. Gives the numbers, complete at the end."""
    numbers: list[int] = []
    process = engine(redis_url, output_dir, "--from", str(first), str(pause), enter=enter, environment=environment)
    try:
        yield numbers
        assert process.poll() is None, "the engine ended by itself"
    finally:
        told, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    numbers += map(int, told.split())
