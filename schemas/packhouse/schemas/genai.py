"""``genai_config.json``: how ONNX Runtime generate() opens a model, which files it names, and naming others in it.

Source of the format: the documentation of onnxruntime-genai. Every ONNX file is named under a key ``filename``,
relative to the folder of the config: those of the decoder, of encoder, embedding, vision and speech, and those of each
step of a pipeline.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

GENAI_CONFIG: Final = "genai_config.json"
LARGEST: Final = 4 << 20
"""Bytes; a larger one is refused unread."""
_FILENAME: Final = "filename"
_MAX_DEPTH: Final = 64


def parse(data: bytes) -> Any:
    """The config as JSON. Raises ``ValueError`` for what is none."""
    try:
        config = json.loads(data.decode("utf-8-sig"))
    except RecursionError:
        config = None
        deep = True
    else:
        deep = _deeper(config, _MAX_DEPTH)
    if deep:
        raise ValueError(f"it is nested more than {_MAX_DEPTH} deep")
    return config


def file_names(config: Any) -> list[str]:
    """Every file that it names, each once, in order."""
    return list(dict.fromkeys(_named(config)))


def renamed(config: Any, new: Callable[[str], str]) -> bytes:
    """The config with other file names, and everything else as it was."""
    return (json.dumps(_renamed(config, new), indent=4, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


def _named(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _named(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == _FILENAME and isinstance(item, str):
                if item:
                    yield item
            else:
                yield from _named(item)


def _renamed(value: Any, new: Callable[[str], str]) -> Any:
    if isinstance(value, list):
        return [_renamed(item, new) for item in value]
    if isinstance(value, dict):
        return {
            key: new(item) if key == _FILENAME and isinstance(item, str) and item else _renamed(item, new)
            for key, item in value.items()
        }
    return value


def _deeper(value: Any, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return not levels or any(_deeper(item, levels - 1) for item in inner)
