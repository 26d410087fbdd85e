"""Wheels and NuGet packages, as the ZIP files that they are: checked whole, and asked what they are and need."""

from __future__ import annotations

import errno
import re
import zipfile
import zlib
from collections.abc import Callable
from email.parser import HeaderParser
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from packhouse.worker.runtimes.failures import Absent
from packhouse.worker.runtimes.fetched import Fetched

_LONGEST_TEXT: Final = 4 << 20
"""Bytes of a metadata file."""
_MOST_UNPACKED: Final = 64 << 30
_CHUNK: Final = 1 << 20
_METADATA: Final = re.compile(r"[^/]+\.dist-info/METADATA")
_NUSPEC: Final = re.compile(r"[^/]+\.nuspec")
_FRAMEWORK: Final = re.compile(r"|\.?netstandard.*|\.?netcoreapp.*|net\d+\.\d+", re.IGNORECASE)
_OLD_FRAMEWORK: Final = re.compile(r"net[1-4]\.\d.*", re.IGNORECASE)
_LOWEST: Final = re.compile(r"\s*[\[(]?\s*([0-9][0-9A-Za-z.+-]*)")
NUGET_ID: Final = re.compile(r"[A-Za-z0-9_]+([.-][A-Za-z0-9_]+)*")


def wheel_facts(path: Path, name: str, beat: Callable[[int], None]) -> Fetched:
    """The wheel of a distribution. Raises ``Absent`` where it is damaged or another one. Format: PEP 427."""
    try:
        distribution, version, _, _ = parse_wheel_filename(path.name)
    except (InvalidWheelFilename, InvalidVersion):
        raise Absent(f"What was found for it, {path.name!r}, is not the name of a wheel.") from None
    headers = HeaderParser().parsestr(_checked(path, _METADATA, beat).decode("utf-8", "replace"))
    said = (headers.get("Name", ""), headers.get("Version", ""))
    try:
        same = canonicalize_name(said[0]) == distribution == canonicalize_name(name) and Version(said[1]) == version
    except InvalidVersion:
        same = False
    if not same:
        raise Absent(f"What was found for it, {path.name}, says inside that it is {said[0]!r} {said[1]!r}.")
    requires = [str(each) for each in headers.get_all("Requires-Dist", [])]
    for each in requires:
        _must_be_requirement(each)
    return Fetched.of(path, name=str(distribution), version=str(version), requires=requires)


def nupkg_facts(path: Path, nuget_id: str, version: str, beat: Callable[[int], None]) -> Fetched:
    """The NuGet package of an id and version. Raises ``Absent`` where it is damaged or another one.

    What it requires is told as ``id/version``, the lowest version that will do. Format: NuGet's nuspec reference.
    """
    text = _checked(path, _NUSPEC, beat)
    if b"<!DOCTYPE" in text.upper():
        raise Absent("Its nuspec declares a document type, which no nuspec does.")
    try:
        root = ET.fromstring(text)  # noqa: S314 (bounded, and without a document type there is no entity)
    except (ET.ParseError, LookupError, ValueError):
        # The latter two are for encodings that Python has not, or has and expat cannot use.
        raise Absent("Its nuspec is not XML.") from None
    said_id, said_version = (_text(root, "id"), _text(root, "version"))
    if said_id.lower() != nuget_id.lower() or nuget_version(said_version) != nuget_version(version):
        raise Absent(f"Its nuspec says that it is {said_id[:100]!r} {said_version[:100]!r}.")
    return Fetched.of(path, name=said_id, version=nuget_version(said_version), requires=_dependencies(root))


def nuget_version(text: str) -> str:
    """A version in NuGet's normal form: no build metadata, three parts or four, no zeros in front, lower case."""
    numbers, dash, label = text.partition("+")[0].strip().lower().partition("-")
    parts = [(part.lstrip("0") or "0") if part.isascii() and part.isdecimal() else part for part in numbers.split(".")]
    parts += ["0"] * (3 - len(parts))
    if parts[3:] == ["0"]:
        del parts[3:]
    return ".".join(parts) + dash + label


def _checked(path: Path, wanted: re.Pattern[str], beat: Callable[[int], None]) -> bytes:
    """The one file of that name, after every file of the archive was read against its CRC."""
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            if sum(info.file_size for info in infos) > _MOST_UNPACKED:
                raise Absent("What was found for it would unpack to more than 64 GiB.")
            found = [info for info in infos if wanted.fullmatch(info.filename)]
            if len(found) != 1 or found[0].file_size > _LONGEST_TEXT:
                raise Absent("What was found for it does not say what it is.")
            for info in infos:
                with archive.open(info) as file:
                    while file.read(_CHUNK):
                        beat(0)
            return archive.read(found[0])
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, ValueError, RuntimeError) as error:
        raise Absent("What was found for it is a damaged archive.") from error
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise Absent("What was found for it is an archive that leads to places before its beginning.") from error


def _must_be_requirement(text: str) -> None:
    try:
        requirement = Requirement(text)
    except (InvalidRequirement, RecursionError):
        raise Absent(f"Its metadata has a requirement that is none: {text[:100]!r}.") from None
    if requirement.url:
        raise Absent(f"Its metadata requires {requirement.name} from an address of its own.")


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _text(root: ET.Element, name: str) -> str:
    for metadata in root:
        if _local(metadata.tag) == "metadata":
            return next((each.text or "" for each in metadata if _local(each.tag) == name), "").strip()
    return ""


def _dependencies(root: ET.Element) -> list[str]:
    """Dependencies of what .NET of today uses: of no framework, .NET Standard and .NET 5 and later."""
    found: dict[str, None] = {}
    for dependencies in (each for each in root.iter() if _local(each.tag) == "dependencies"):
        for child in dependencies:
            framework = child.get("targetFramework", "").replace(" ", "")
            if _local(child.tag) == "group" and (
                not _FRAMEWORK.fullmatch(framework) or _OLD_FRAMEWORK.fullmatch(framework)
            ):
                continue
            for each in child if _local(child.tag) == "group" else (child,):
                lowest = _LOWEST.match(each.get("version", ""))
                nuget_id = each.get("id", "")
                if lowest and NUGET_ID.fullmatch(nuget_id):
                    found[f"{nuget_id}/{nuget_version(lowest[1])}"] = None
    return sorted(found)
