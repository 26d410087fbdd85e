"""Keeps the engine's directories, and what gives access to a blob, out of the JSON files of a package.

A directory that a package names tells of the engine's machine and is of no use to whoever opens the package elsewhere.
So the known directories, and only those, are replaced by ``<engine>``: ``/srv/olive/user_script.py`` becomes
``<engine>/user_script.py``. Names of nodes, tensors and operators may look like paths and are left alone.

The signature of an address, an account's key and a token are replaced wherever they stand: a package travels farther
than the event that had them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote

from packhouse.schemas.base import is_url
from packhouse.schemas.blob.failures import scrub as without_secrets
from packhouse.schemas.paths import components, is_windows

PLACEHOLDER: Final = "<engine>"

_GRAPH_NAMES = re.compile(
    r"(?:nodes|ops|op_types|operators|tensors|layers|modules|initializers)_to_\w+"
    r"|(?:\w+_)?(?:node|op|op_type|tensor|layer|module)s?(?:_(?:allow|block|deny|exclude|include)\w*)?_list"
    r"|(?:exclude|excluded|include|included|force|skip|target)_(?:\w+_)?(?:nodes|ops|op_types|tensors|layers|modules)"
    r"|(?:\w+_)?(?:input|output|node|op|tensor|layer|module|initializer)_names?"
    r"|(?!(?:\w+_)?(?:file|path|dir)_)\w+_names"
    r"|nodes|ops|op_types|tensors|initializers"
    r"|(?:\w+_)?tensor_quant_overrides|dynamic_axes|dynamic_shapes|input_shapes|output_shapes"
)
_NAME_CHARACTER: Final = r"\w\-~+@%"
_WINDOW: Final = 300
"""Characters looked at before a path: longer than any host name, and short, so that long texts cost no more."""
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_FLAG = re.compile(r"(?:^|[\s\"'])-{1,2}[A-Za-z]$")
_FILE_URL = re.compile(r"\bfile://[^/\s]*$", re.IGNORECASE)
_NAME_BEFORE = re.compile(rf"[{_NAME_CHARACTER}.]$")
_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/$")
_SLASHES_AFTER_NAME = re.compile(rf"(?:[{_NAME_CHARACTER}.]|{re.escape(PLACEHOLDER)})[\\/]+$")


def holds_graph_names(key: str) -> bool:
    """Whether the value under a key holds names of nodes, tensors or operators, which are no paths.

    Source of the names: the pass configurations of Olive and the quantization options of ONNX Runtime, which spell
    the same names with underscores and with capitals.
    """
    return bool(_GRAPH_NAMES.fullmatch(_CAPITAL.sub("_", key).lower()))


class Scrubber:
    """Replaces directories, and what gives access to a blob, in strings and in JSON values.

    Laws: a string without any of them stays as it is; scrubbing twice is scrubbing once; no directory is
    left, by whole components, wherever in a string a path begins.
    """

    def __init__(self, directories: Iterable[str]) -> None:
        spelled = {components(each): each for each in directories if components(each)}
        longest_first = sorted(spelled.values(), key=lambda each: (-len(components(each)), each))
        self._pattern = re.compile("|".join(_spellings(each) for each in longest_first)) if longest_first else None

    def text(self, text: str) -> str:
        """The string with every directory and every secret in it replaced."""
        text = without_secrets(text)
        return self._pattern.sub(_replace, text) if self._pattern else text

    def json(self, value: Any) -> Any:
        """The JSON value with every string and key in it scrubbed, except under keys that hold names of the graph."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list | tuple):
            return [self.json(item) for item in value]
        if isinstance(value, dict):
            clean: dict[str, Any] = {}
            for key, item in value.items():
                clean[_unused(self.text(key), clean)] = item if holds_graph_names(key) else self.json(item)
            return clean
        return value


def json_without_secrets(text: str) -> str:
    """The text of a JSON document, its strings and keys without what gives access to a blob; most have none."""
    return text if without_secrets(text) == text else json.dumps(Scrubber(()).json(json.loads(text)))


def _unused(key: str, taken: dict[str, Any]) -> str:
    """Two keys may differ in nothing but the directory: both are kept."""
    count, fresh = 1, key
    while fresh in taken:
        count += 1
        fresh = f"{key}#{count}"
    return fresh


def _spellings(directory: str) -> str:
    """A pattern for every way in which a directory is written: doubled separators, ``.`` in between, percent signs."""
    windows = is_windows(directory)
    # Repetitions are bounded, so that a text made of slashes is read in linear time.
    separator = r"[\\/]{1,8}(?:\.[\\/]{1,8}){0,4}" if windows else r"/{1,8}(?:\./{1,8}){0,4}"
    parts = [_component(part) for part in components(directory)]
    pattern = _lead(directory) + separator.join(parts) + rf"(?!\.*[{_NAME_CHARACTER}])"
    return f"(?i:{pattern})" if windows else pattern


def _lead(directory: str) -> str:
    if directory.startswith("\\\\"):
        return r"[\\/]{2,8}"
    return "" if is_windows(directory) or is_url(directory) else r"/(?:\./{1,8}){0,4}"


def _component(name: str) -> str:
    encoded = quote(name, safe="")
    return re.escape(name) if encoded == name else f"(?:{re.escape(name)}|{re.escape(encoded)})"


def _replace(match: re.Match[str]) -> str:
    return PLACEHOLDER if _begins_a_path(match.string, match.start()) else match.group()


def _begins_a_path(text: str, start: int) -> bool:
    """Whether a path can begin here, or whether what stands before belongs to the same path."""
    before = text[max(0, start - _WINDOW) : start]
    if before.endswith(PLACEHOLDER):
        return False
    if before.endswith(".."):
        return True
    if before.endswith(("/", "\\")):
        # The name behind the two slashes of a URL is a host, not a directory.
        return not _SLASHES_AFTER_NAME.search(before) and not _AUTHORITY.search(before)
    if _NAME_BEFORE.search(before) is None:
        return True
    return bool(_FLAG.search(before) or _FILE_URL.search(before))
