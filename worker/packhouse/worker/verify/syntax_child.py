"""Reads source code of a package without running it, and tells what is wrong: run by ``samples``, never imported by it.

Code can be made so that what compiles it runs out of memory or crashes; only this process does then.
"""

from __future__ import annotations

import json
import resource
import sys
import warnings
from typing import Final
from xml.parsers import expat

_MEMORY: Final = 1 << 30
_CPU_SECONDS: Final = 60


def _python(text: str) -> str | None:
    try:
        compile(text, "<sample>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        return f"{error}" or type(error).__name__
    return None


def _xml(text: str) -> str | None:
    parser = expat.ParserCreate()
    try:
        parser.Parse(text, True)  # noqa: FBT003 (expat takes it so)
    except expat.ExpatError as error:
        return f"{error}"
    return None


def _json(text: str) -> str | None:
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        return f"{error}"
    return None


_READERS: Final = {"python": _python, "xml": _xml, "json": _json}


def main() -> None:
    """Standard input: a JSON list of pairs of kind and text. Standard output: a JSON list of errors, null for none."""
    for what, most in ((resource.RLIMIT_AS, _MEMORY), (resource.RLIMIT_CPU, _CPU_SECONDS), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(what, (most, most))
    warnings.simplefilter("ignore")
    texts = json.load(sys.stdin)
    json.dump([_READERS[kind](text) for kind, text in texts], sys.stdout)


if __name__ == "__main__":
    main()
