"""``make fuzz``: changes real inputs of every reader for a while, and tells what broke. See README.md beside."""

from __future__ import annotations

import hashlib
import os
import resource
import secrets
import sys
import tempfile
from pathlib import Path

from fuzz.running import Books, fuzz
from fuzz.targets import targets

MEMORY = 4 << 30
"""Address space of the whole; a reader that takes memory as its input tells it to runs into it."""


def main() -> int:
    seconds = float(os.environ.get("FUZZ_SECONDS", "120"))
    seed = int(os.environ.get("FUZZ_SEED") or secrets.randbelow(1 << 32))
    kept = Path(os.environ.get("FUZZ_KEPT", "../.packhouse/fuzz"))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with tempfile.TemporaryDirectory(prefix="packhouse-fuzz-") as folder:
        known = targets(Path(folder))
        wanted = [name for name in os.environ.get("FUZZ_TARGETS", "").split(",") if name] or list(known)
        if unknown := [name for name in wanted if name not in known]:
            say(f"There is no target {', '.join(unknown)}. There are: {', '.join(known)}.")
            return 2
        say(f"FUZZ_SEED={seed}, {seconds:.0f} s for {len(wanted)} targets", "", HEAD)
        books = [told(fuzz(known[name], seed, seconds=seconds / len(wanted))) for name in wanted]
    for book in books:
        for crash in book.crashes.values():
            kept.mkdir(parents=True, exist_ok=True)
            place = kept / f"{crash.target}-{hashlib.sha256(crash.data).hexdigest()[:12]}"
            place.write_bytes(crash.data)
            say("", f"{crash.target}: {crash.kind}, by {place}", crash.trace[-3000:])
    return int(any(book.crashes for book in books))


HEAD = (
    "| reader | executions | lines reached | inputs kept | slowest | crashes |\n"
    "| --- | ---: | ---: | ---: | ---: | ---: |"
)


def told(book: Books) -> Books:
    say(
        f"| {book.target} | {book.executions} | {book.lines} | {book.kept} | {book.slowest:.2f} s "
        f"for {book.slowest_bytes / 1000:.1f} kB "
        f"| {len(book.crashes)} |"
    )
    return book


def say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


sys.exit(main())
