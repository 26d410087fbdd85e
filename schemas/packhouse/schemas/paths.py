"""Mapping paths from one machine's view to another's."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote, unquote

from packhouse.schemas.base import is_absolute, is_url
from packhouse.schemas.errors import ErrorCode, PermanentError

_SEPARATORS = re.compile(r"[\\/]+")
_DRIVE = re.compile(r"[A-Za-z]:")


def is_windows(path: str) -> bool:
    """Whether an absolute path is spelled the way of Windows: with a drive letter or a share."""
    return is_absolute(path) and not path.startswith("/") and not is_url(path)


def components(path: str) -> tuple[str, ...]:
    r"""The parts of an absolute path, the drive or share among them. A Windows path's are in lower case.

    For comparing only: ``C:\Olive\Cache`` and ``c:/olive/cache`` have the same components.
    """
    parts = (
        tuple(part for part in _SEPARATORS.split(path) if part)
        if is_windows(path)
        else tuple(part for part in path.split("/") if part)
    )
    return tuple(part.lower() for part in parts) if is_windows(path) else parts


def inside(path: str) -> str | None:
    """A relative path, of Windows or not, with plain forward slashes; None where it leads out of its folder.

    Law: what comes back has no empty component, no ``.``, no ``..`` and no drive.
    """
    parts: list[str] = []
    path = path.replace("\\", "/")
    if path.startswith("/"):
        return None
    for part in path.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    plain = "/".join(parts)
    return None if not plain or _DRIVE.match(plain) else plain


def relative_to(path: str, folder: str) -> str | None:
    """Where an absolute path lies below an absolute folder, with forward slashes and not encoded; empty for the folder.

    None where it lies elsewhere, or goes up and down on its way.
    """
    if not PathRule(folder, folder).applies_to(path):
        return None
    rest = _rest(path, len(components(folder)))
    if path.startswith("https://"):
        rest = [unquote(part) for part in rest]
    return None if {".", ".."} & set(rest) else "/".join(rest)


def _rest(path: str, count: int) -> list[str]:
    parts = _SEPARATORS.split(path) if is_windows(path) else path.split("/")
    return [part for part in parts if part][count:]


@dataclass(frozen=True)
class PathRule:
    """Everything below ``origin`` is found below ``target``."""

    origin: str
    target: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """The rule of ``FROM=TO``, both absolute. Raises ``PermanentError``."""
        origin, equals, target = text.partition("=")
        if not equals or not is_absolute(origin) or not is_absolute(target):
            raise PermanentError(
                ErrorCode.CONFIGURATION_INVALID,
                f"{text!r} is not a path mapping.",
                fix="Write FROM=TO with two absolute paths, as in /srv/olive=/mnt/olive.",
            )
        return cls(origin, target)

    def applies_to(self, path: str) -> bool:
        """Whether the path is ``origin`` or lies below it, by whole components."""
        if is_windows(path) != is_windows(self.origin) or is_url(path) != is_url(self.origin):
            return False
        prefix = components(self.origin)
        return components(path)[: len(prefix)] == prefix

    def apply(self, path: str) -> str:
        """The path below ``target``. Only for a path that the rule applies to."""
        rest = _rest(path, len(components(self.origin)))
        separator = "\\" if is_windows(self.target) else "/"
        base = self.target.rstrip("\\/" if is_windows(self.target) else "/")
        if self.target.startswith("https://") and not is_url(path):
            rest = [quote(part, safe="") for part in rest]
        return separator.join([base, *rest]) if rest else base or "/"


@dataclass(frozen=True)
class PathMap:
    """Rules of which the longest prefix wins; a path that none applies to stays as it is."""

    rules: tuple[PathRule, ...] = ()

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Self:
        """The map of several ``FROM=TO``. Raises ``PermanentError``."""
        return cls(tuple(PathRule.parse(text) for text in texts))

    def __call__(self, path: str) -> str:
        """The path as the other machine calls it."""
        fitting = [rule for rule in self.rules if rule.applies_to(path)]
        return max(fitting, key=lambda rule: len(components(rule.origin))).apply(path) if fitting else path

    def reversed(self) -> PathMap:
        """The map of the way back: for a path that this map changed, ``m.reversed()(m(p))`` names what ``p`` names."""
        return PathMap(tuple(PathRule(rule.target, rule.origin) for rule in self.rules))
