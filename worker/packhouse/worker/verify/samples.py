"""Whether the sample code of a package is there, and is code."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from packhouse.schemas.files import CANDIDATES
from packhouse.worker.samples.code import SAMPLE_CODE
from packhouse.worker.verify.container import UNREADABLE, named
from packhouse.worker.verify.contents import Contents, Found, Skipped, counted

_CHILD: Final = "packhouse.worker.verify.syntax_child"
_SECONDS: Final = 120
_LONGEST: Final = 1024 * 1024
_MOST_FILES: Final = 500
_KINDS: Final = {
    ".py": "python", ".csproj": "xml", ".props": "xml", ".config": "xml", ".json": "json",
}  # fmt: skip
_COMPILED: Final = frozenset({".pyc", ".pyo", ".so", ".dll", ".exe", ".o", ".a", ".dylib"})
_NEED_A_COMPILER: Final = {".cpp": "C++", ".hpp": "C++", ".h": "C++", ".cs": "C#"}
_FOLDER: Final = re.compile(rf"{CANDIDATES}/[^/\s\"'`<>]+/BestCandidateModel_[0-9]+")


def check_samples(contents: Contents) -> Found:
    """Compile what is Python and parse what is XML or JSON, without running any of it, and follow what names a model.

    C++ and C# want compilers, and are counted only.
    """
    paths = sorted(contents.below(SAMPLE_CODE))
    if not paths:
        raise Skipped(f"the package has no {SAMPLE_CODE}")
    findings = [] if f"{SAMPLE_CODE}/README.md" in paths else [f"{SAMPLE_CODE}/README.md is missing"]
    findings += [f"{named(path)} was compiled, and is no source" for path in paths if _suffix(path) in _COMPILED]
    if len(paths) > _MOST_FILES:
        return Found([*findings, f"there are {len(paths)} files, more than sample code ever has"])
    texts: dict[str, str] = {}
    for path in paths:
        try:
            texts[path] = contents.text(path, most=_LONGEST)
        except UNREADABLE as error:
            findings.append(f"{named(path)} cannot be read as text: {error}")
    findings += _naming(contents, texts)
    readable = {path: text for path, text in texts.items() if _suffix(path) in _KINDS}
    findings += [f"{named(path)}: {error}" for path, error in _errors(readable)]
    return Found(findings, _counts(paths))


def _suffix(path: str) -> str:
    return PurePosixPath(path).suffix.lower()


def _naming(contents: Contents, texts: dict[str, str]) -> Iterator[str]:
    there = {"/".join(path.split("/")[:3]) for path in contents.below(CANDIDATES)}
    for path, text in texts.items():
        for folder in sorted(set(_FOLDER.findall(text)) - there):
            yield f"{named(path)} names {named(folder)}, which is not there"


def _errors(texts: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Path and what is wrong with it, asked of a process of its own."""
    if not texts:
        return
    asked = json.dumps([(_KINDS[_suffix(path)], text) for path, text in texts.items()])
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-m", _CHILD],
            input=asked.encode(),
            env={"LC_ALL": "C.UTF-8"},
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
        answers = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        yield next(iter(texts)), "it, or a file after it, could not be read within the limits of memory and time"
        return
    yield from ((path, answer) for path, answer in zip(texts, answers, strict=True) if answer is not None)


def _counts(paths: list[str]) -> str:
    python = sum(_suffix(path) == ".py" for path in paths)
    others = Counter(language for path in paths if (language := _NEED_A_COMPILER.get(_suffix(path))))
    told = [f"{counted(python, 'Python file')} {'compiles' if python == 1 else 'compile'}"] if python else []
    told += [f"{counted(count, f'{language} file')} not compiled here" for language, count in sorted(others.items())]
    return ", ".join(told) or "no code, which its README explains"
