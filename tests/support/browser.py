"""Debian's Chromium, headless, with a profile of its own and nothing of the outside."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from playwright.sync_api import BrowserContext, Page, Playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
Scheme = Literal["light", "dark"]


@dataclass
class Seen:
    """What a page did while it was open."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    """Errors and warnings on the console, and errors of scripts."""
    requests: list[str] = field(default_factory=list)
    """Addresses that were asked for, the page's own and data: among them."""


@contextmanager
def chromium(
    playwright: Playwright, profile: Path, *, width: int, height: int, scheme: Scheme, scripts: bool = True
) -> Generator[BrowserContext]:
    """A browser window of that size. ``profile`` is an empty folder for its data."""
    context = playwright.chromium.launch_persistent_context(
        str(profile),
        executable_path=CHROMIUM,
        args=FLAGS,
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        java_script_enabled=scripts,
    )
    try:
        yield context
    finally:
        context.close()


def visit(context: BrowserContext, file: Path) -> Seen:
    """Open a file in a new page, and listen to what it does until it has loaded."""
    page = context.new_page()
    seen = Seen(page)
    page.on("console", lambda said: seen.complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on("request", lambda request: seen.requests.append(request.url))
    page.goto(file.as_uri(), wait_until="load")
    return seen
