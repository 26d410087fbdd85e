"""The pictures of the guides: ``make pictures`` takes them of a running stack, into deploy/pictures."""

from __future__ import annotations

import io
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Page, sync_playwright
from rich.console import Console
from rich.text import Text
from support.browser import CHROMIUM, FLAGS
from support.farm import wait_for

from packhouse.local.stack import Stack
from packhouse.producers.olive import publish_output
from packhouse.schemas.status import FinalEvent

PROJECT: Final = Path(__file__).parents[2]
PICTURES: Final = PROJECT / "deploy" / "pictures"
PLACE: Final = Path(tempfile.gettempdir()) / "olive"
"""Where the runs lie. The pictures show it, so it is called the same everywhere."""
SAMPLES: Final = {"digits": "olive-0.6.2-cpu-and-openvino", "search": "olive-0.13.0-search"}
WIDTH: Final = 120
LARGEST: Final = 150_000
_FONTS: Final = re.compile(r"@font-face \{.*?\}\n", re.DOTALL)
_PACKHOUSE: Final = str(Path(sys.executable).with_name("packhouse"))


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    assert not PLACE.exists(), f"{PLACE} is there already: remove it"
    PLACE.mkdir()
    environment = {"PACKHOUSE_RUNTIME_SOURCE": "off"}
    try:
        maps = [f"/srv/olive={PLACE / 'digits'}"]
        with Stack(PLACE / "stack", [PLACE], maps=maps, environment=environment, say=lambda _: None) as stack:
            terminal(stack)
            work(stack)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
                flower(stack, browser.new_page(viewport={"width": 1500, "height": 640}))
                report(browser.new_page(viewport={"width": 1280, "height": 1000}))
                browser.close()
    finally:
        shutil.rmtree(PLACE)
    for picture in sorted(PICTURES.iterdir()):
        size = picture.stat().st_size
        sys.stdout.write(f"{picture.relative_to(PROJECT)}  {size / 1000:.0f} kB\n")
        assert size <= LARGEST, f"{picture} has {size} bytes; the most is {LARGEST}"


def sample(name: str) -> Path:
    """The output_dir of a copy of a run."""
    shutil.copytree(PROJECT / "tests" / "data" / SAMPLES[name], PLACE / name)
    return PLACE / name / "output_dir"


def terminal(stack: Stack) -> None:
    """A run published and its package verified, as on a terminal."""
    out = sample("digits").relative_to(PLACE)
    (PLACE / "packaging.json").write_text('{"type": "Zipfile", "name": "digits"}')
    told = {"PACKHOUSE_REDIS_URL": stack.redis_url, "COLUMNS": str(WIDTH), "TERM": "xterm-256color"}
    shown = Console(record=True, width=WIDTH, file=io.StringIO())
    for arguments in (
        [
            "publish",
            str(out),
            "--packaging-config",
            "packaging.json",
            "--run-id",
            "digits-1",
            "--source",
            "/farm/eu-1",
            "--wait",
        ],
        ["verify", str(out / "digits.zip")],
    ):
        shown.print(Text.assemble(("$ ", "bold green"), (f"packhouse {shlex.join(arguments)}", "bold")))
        shown.print(Text.from_ansi(said(arguments, told)))
    svg = shown.export_svg(title="packhouse", unique_id="packhouse")
    # Fonts would be fetched from elsewhere; any monospaced one will do.
    (PICTURES / "terminal.svg").write_text(_FONTS.sub("", svg), "utf-8")


def said(arguments: list[str], told: Mapping[str, str]) -> str:
    """What a command says: its lines on standard error, and its standard output as a terminal gets it."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [_PACKHOUSE, *arguments], cwd=PLACE, env={**os.environ, **told}, stdout=theirs, stderr=subprocess.PIPE
    )
    os.close(theirs)
    parts: list[bytes] = []
    # Where the other end is closed, reading from a terminal is an error.
    try:
        while part := os.read(ours, 65536):
            parts.append(part)
    except OSError:
        pass
    os.close(ours)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    return (errors + b"".join(parts)).decode().replace("\r\n", "\n").rstrip("\n")


def work(stack: Stack) -> None:
    """Runs that succeed and runs that fail."""
    new = sample("search")
    for file in new.glob("*.json"):
        file.write_text(file.read_text().replace("/srv/olive", str(PLACE / "search")))
    gone = PLACE / "nightly"
    shutil.copytree(PLACE / "search", gone)
    for file in (gone / "output_dir").glob("*.json"):
        file.write_text(file.read_text().replace("search/cache/", "search/cleaned-cache/"))

    def make(output: Path, run_id: str, *configs: dict[str, Any]) -> FinalEvent:
        return publish_output(
            output, list(configs), run_id=run_id, source="/farm/eu-1", redis_url=stack.redis_url
        ).wait(timeout=120)

    make(new, "search-7", {"type": "Zipfile", "name": "digits"})
    make(gone / "output_dir", "nightly-12", {"type": "Zipfile", "name": "nightly"})
    make(new, "search-8", {"type": "Zipfile", "name": "best"}, {"type": "AzureMLModels", "name": "digits"})


def flower(stack: Stack, page: Page) -> None:
    """The tasks, and the page of one that failed."""
    page.goto(f"{stack.flower_url}/tasks")
    failures = page.locator("#tasks-table tbody tr", has_text="FAILURE")
    wait_for(lambda: failures.count() == 2, what="the failures in Flower")
    shoot(page, "flower-runs")
    failures.filter(has_text="nightly").locator("a[href*='/task/']").click()
    page.wait_for_url("**/task/*")
    shoot(page, "flower-failure")


def report(page: Page) -> None:
    """The report beside the package of two accelerators."""
    page.goto((PLACE / "digits" / "output_dir" / "digits.report.html").as_uri())
    shoot(page, "report")


def shoot(page: Page, name: str) -> None:
    """A picture of what is seen of a page, with as few colours as it needs."""
    file = PICTURES / f"{name}.png"
    page.screenshot(path=file)
    subprocess.run(
        ["pngquant", "--force", "--strip", "--speed", "1", "--output", str(file), "64", str(file)], check=True
    )


if __name__ == "__main__":
    main()
