"""Logs: lines for people, or a JSON object in each line for programs. Both say which run and job a line is about.

The members of an object: ``time`` (RFC 3339, UTC), ``level``, ``logger``, ``message``, ``worker``, ``pid``, and where
there is one ``run``, ``source``, ``job``, ``attempt``, ``package``, ``trace_id`` and ``error`` (a traceback).
"""

from __future__ import annotations

import contextlib
import contextvars
import io
import json
import logging
import os
import re
import sys
from collections.abc import Generator
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, TextIO

from packhouse.schemas.text import visible
from packhouse.worker.storage.blob.failures import scrub

_NOTHING: Final = MappingProxyType[str, Any]({})
_about: contextvars.ContextVar[MappingProxyType[str, Any]] = contextvars.ContextVar("packhouse_about", default=_NOTHING)
_PASSWORD: Final = re.compile(r"(?<=://)[^\s/@]*:[^\s/@]+(?=@)")
_worker: list[str] = []


@contextlib.contextmanager
def about(**fields: Any) -> Generator[None, None, None]:
    """Whatever is logged within is about this; what is None is left out."""
    given = {name: value for name, value in fields.items() if value is not None}
    token = _about.set(MappingProxyType({**_about.get(), **given}))
    try:
        yield
    finally:
        _about.reset(token)


def set_up(kind: str, level: int | str, worker: str, stream: TextIO | None = None) -> None:
    """Log to the standard error from now on. ``kind`` is ``text``, ``json``, or ``auto``: text on a terminal."""
    out = stream or sys.stderr or io.StringIO()
    _worker[:] = [worker]
    handler = logging.StreamHandler(out)
    handler.setFormatter(Text() if kind == "text" or (kind == "auto" and out.isatty()) else Json())
    logging.basicConfig(level=level or logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)


class Json(logging.Formatter):
    """An object in each line; plain ASCII, so that no name in it can break the line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        fields: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": _clean(record.getMessage()),
            "worker": _worker[0] if _worker else "",
            "pid": os.getpid(),
            **_about.get(),
        }
        if record.exc_info:
            fields["error"] = _clean(self.formatException(record.exc_info))
        return json.dumps(fields, default=str)


class Text(logging.Formatter):
    """A line for people, and a traceback below it where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        fields = _about.get()
        names = [str(fields[name]) for name in ("run", "job", "package") if name in fields]
        where = visible(" ".join(names))
        lines = [visible(line) for line in _clean(record.getMessage()).split("\n")]
        text = f"{_time(record)} {record.levelname:<8} {f'[{where}] ' if where else ''}" + "\n    ".join(lines)
        if record.exc_info:
            text += "\n" + _clean(self.formatException(record.exc_info))
        return text


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _clean(text: str) -> str:
    """Without what signs a request or opens a server, which addresses in the texts of libraries can hold."""
    return _PASSWORD.sub("…", scrub(text))
