"""Settings that lie in files, as container platforms hand out secrets.

``PACKHOUSE_REDIS_URL_FILE`` names a file that holds the value of ``PACKHOUSE_REDIS_URL``; ``PACKHOUSE_SECRETS_DIR``
names a folder of files that are called as the variables are, in capitals or not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from packhouse.schemas.errors import ErrorCode, PermanentError, invalid

SECRETS_DIR: Final = "PACKHOUSE_SECRETS_DIR"

_PREFIX: Final = "PACKHOUSE_"
_SUFFIX: Final = "_FILE"
_LONGEST: Final = 64 * 1024


def settings_in_files(names: Collection[str], environment: Mapping[str, str]) -> dict[str, str]:
    """The values by name (``redis_url``) that files hold. Raises ``PermanentError`` where a file is not right.

    A variable goes before the file of the folder; a variable and a file named for the same setting contradict each
    other. Line breaks at the end of a file are not part of the value.
    """
    found = _in_folder(names, environment)
    variables = {f"{_PREFIX}{name.upper()}": name for name in names}
    for told, path in environment.items():
        if not (told.startswith(_PREFIX) and told.endswith(_SUFFIX)) or told in variables:
            continue
        variable = told.removesuffix(_SUFFIX)
        if variable not in variables:
            raise _wrong(told, f"there is no setting {variable}")
        if variable in environment:
            raise _wrong(told, f"{variable} is set too, and only one of them can be meant")
        found[variables[variable]] = _value(told, Path(path))
    return found


def _in_folder(names: Collection[str], environment: Mapping[str, str]) -> dict[str, str]:
    told = environment.get(SECRETS_DIR)
    if not told:
        return {}
    folder = Path(told)
    if not folder.is_dir():
        raise _wrong(SECRETS_DIR, f"{told} is no folder")
    found: dict[str, str] = {}
    for name in names:
        variable = f"{_PREFIX}{name.upper()}"
        for file in (folder / variable, folder / variable.lower()):
            if variable not in environment and file.exists():
                found[name] = _value(SECRETS_DIR, file)
                break
    return found


def _value(told: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_LONGEST + 1)
        text = raw.decode("utf-8").rstrip("\r\n")
    except OSError as error:
        raise _wrong(told, f"the file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise _wrong(told, f"the file {path} is not text") from None
    if len(raw) > _LONGEST:
        raise _wrong(told, f"the file {path} is longer than {_LONGEST} bytes")
    if not text:
        raise _wrong(told, f"the file {path} is empty")
    return text


def _wrong(told: str, sentence: str) -> PermanentError:
    return invalid(
        ErrorCode.CONFIGURATION_INVALID,
        "The worker's settings are wrong",
        [(told, sentence)],
        fix="Correct the variable, or the file.",
    )
