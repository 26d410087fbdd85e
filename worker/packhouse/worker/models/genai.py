"""``genai_config.json``: how ONNX Runtime generate() opens a model, which files it names, and naming others in it.

Source of the format: the documentation of onnxruntime-genai. Every ONNX file is named under a key ``filename``,
relative to the folder of the config: those of the decoder, of encoder, embedding, vision and speech, and those of each
step of a pipeline.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

from packhouse.schemas.errors import ErrorCode, PermanentError
from packhouse.schemas.paths import inside
from packhouse.worker.storage.failures import said
from packhouse.worker.storage.readable import Readable, read_full

GENAI_CONFIG: Final = "genai_config.json"
_FILENAME: Final = "filename"
_LARGEST: Final = 4 << 20


def read_config(file: Readable) -> Any:
    """The config as JSON. Raises ``PermanentError`` (``model_unreadable``) for what is none, or above 4 MiB."""
    if file.size > _LARGEST:
        raise _broken(file, f"it has {file.size} bytes")
    data = read_full(file, memoryview(bytearray(file.size)), 0)
    try:
        return json.loads(bytes(data).decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise _broken(file, f"it is not JSON ({error})") from error


def file_names(config: Any) -> list[str]:
    """Every file that it names, each once, in order."""
    return list(dict.fromkeys(_named(config)))


def names_file(file: Readable, name: str) -> bool:
    """Whether the config names a file of its folder."""
    return name in [inside(each) for each in file_names(read_config(file))]


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


def _broken(file: Readable, reason: str) -> PermanentError:
    return PermanentError(
        ErrorCode.MODEL_UNREADABLE,
        f"{said(file.shown)} cannot be read: {reason}.",
        fix="Save the model again, or take the file away if the model is not meant for onnxruntime-genai.",
    )
