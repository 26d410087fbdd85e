"""What README and guides refer to exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.readme import README

from packhouse.worker.settings import Settings

PROJECT = README.parent
GUIDES = [README, *(file for file in sorted((PROJECT / "deploy").rglob("*.md")) if "node_modules" not in file.parts)]
OTHERS = {
    "LIVE_WORKSPACE",
    "NAME", "NAME_FILE", "SECRETS_DIR", "SIGNING_KEY", "FAULT_DIR", "TEST_CACHE", "STORAGE", "ENGINE_STORAGE",
}  # fmt: skip
"""Variables that are no settings of workers."""


def anchors(file: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", file.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.fixture(params=GUIDES, ids=lambda path: str(path.relative_to(PROJECT)))
def guide(request: pytest.FixtureRequest) -> Path:
    assert isinstance(request.param, Path)
    return request.param


def test_every_link_leads_somewhere(guide: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", guide.read_text("utf-8")):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = guide.parent / path if path else guide
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_test_that_is_named_is_there(guide: Path) -> None:
    text = guide.read_text("utf-8")
    tests = {path.name for path in (PROJECT / "tests").rglob("test_*.py")}
    for named in re.findall(r"`((?:tests/)?[\w/]*test_\w+\.py)`", text):
        assert Path(named).name in tests, named
        assert not named.startswith("tests/") or (PROJECT / named).exists(), named
    for folder in re.findall(r"`(tests/[\w/]+)`", text):
        assert (PROJECT / folder).is_dir(), folder


def test_every_variable_that_is_named_is_known(guide: Path) -> None:
    known = {name.upper() for name in Settings.model_fields} | OTHERS
    for name in re.findall(r"PACKHOUSE_([A-Z_]*[A-Z])", guide.read_text("utf-8")):
        assert name in known or name.removesuffix("_FILE") in known, name


def test_every_target_of_make_that_is_named_is_there(guide: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for target in re.findall(r"`make ([a-z-]+)`", guide.read_text("utf-8")):
        assert target in targets, target
