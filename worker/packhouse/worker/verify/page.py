"""Whether ``report.html`` is a page that needs nothing but itself."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Final

from packhouse.worker.verify.contents import Contents, Found, Skipped, sized
from packhouse.worker.verify.files import COMPLETE_SINCE

REPORT: Final = "report.html"

_LONGEST: Final = 64 * 1024 * 1024
_LOADING: Final = frozenset(
    {"src", "srcset", "data", "poster", "background", "action", "formaction", "manifest", "ping"}
)
"""Attributes whose address is fetched; ``href`` is one of them except on a link that people follow."""
_FOLLOWED: Final = frozenset({"a", "area"})
_HREFS: Final = frozenset({"href", "xlink:href"})
_CSS: Final = re.compile(r"(?:url\(\s*['\"]?|@import\s+['\"])\s*([^'\")\s]+)", re.IGNORECASE)
_IN_SCRIPT: Final = re.compile(
    r"\b(?:fetch|XMLHttpRequest|WebSocket|EventSource|importScripts|sendBeacon)\b|\bimport\s*\("
)
_HARMLESS: Final = ("data:", "#", "about:blank")


def check_report(contents: Contents) -> Found:
    """Read the page without opening it: every address in it that a browser would fetch is a finding."""
    if REPORT not in contents.container.sizes:
        if contents.need_manifest().format < COMPLETE_SINCE:
            raise Skipped(f"packages of format {contents.need_manifest().format} have none")
        return Found([f"{REPORT} is missing"])
    text = contents.text(REPORT, most=_LONGEST)
    page = _Page()
    page.feed(text)
    page.close()
    if not page.tags:
        page.findings.append("it is no HTML")
    return Found([f"{REPORT}: {finding}" for finding in page.findings], sized(contents.container.sizes[REPORT]))


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.findings: list[str] = []
        self.tags = 0
        self._inside: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags += 1
        self._inside = tag if tag in ("style", "script") else self._inside
        given = {name: value or "" for name, value in attrs}
        if tag == "base":
            self.findings.append("a <base> leads its links elsewhere")
        if tag == "meta" and given.get("http-equiv", "").lower() == "refresh":
            self.findings.append("it leads on to another page by itself")
        for name, value in given.items():
            if name in _LOADING or (name in _HREFS and tag not in _FOLLOWED):
                self._look_at(value, f"<{tag} {name}>")
            elif name == "style":
                self._look_at_css(value)

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = None

    def handle_data(self, data: str) -> None:
        if self._inside == "style":
            self._look_at_css(data)
        elif self._inside == "script" and (found := _IN_SCRIPT.search(data)):
            self.findings.append(f"its script uses {found[0].rstrip('(').strip()}")

    def _look_at_css(self, css: str) -> None:
        for address in _CSS.findall(css):
            self._look_at(address, "its style")

    def _look_at(self, address: str, what: str) -> None:
        if address.strip() and not address.strip().lower().startswith(_HARMLESS):
            self.findings.append(f"{what} loads {address[:200]!r}")
