"""What a check comes to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import TypeAlias

from packhouse.schemas.base import Document
from packhouse.schemas.errors import PackhouseError


class State(StrEnum):
    """How things stand."""

    OK = "ok"
    WARNING = "warning"
    """It works, and may not when it matters."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """There is nothing to check."""


class Finding(Document):
    """One thing that was looked at."""

    name: str
    state: State
    message: str
    fix: str | None = None


Check: TypeAlias = Callable[[], Iterator[Finding]]


def ok(name: str, message: str) -> Finding:
    """All is well."""
    return Finding(name=name, state=State.OK, message=message)


def warning(name: str, message: str, fix: str) -> Finding:
    """It may not be well one day."""
    return Finding(name=name, state=State.WARNING, message=message, fix=fix)


def failed(name: str, message: str, fix: str) -> Finding:
    """It is not well."""
    return Finding(name=name, state=State.FAILED, message=message, fix=fix)


def skipped(name: str, message: str) -> Finding:
    """It does not matter."""
    return Finding(name=name, state=State.SKIPPED, message=message)


def of_error(name: str, error: PackhouseError) -> Finding:
    """What an error says."""
    return failed(name, error.message, error.fix)
