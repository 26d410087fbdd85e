"""NuGet packages from a feed or a folder. Protocol: NuGet Server API, version 3 (service index, package content)."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin

from packhouse.worker.runtimes.failures import Absent, Outage
from packhouse.worker.runtimes.http import Web

_CONTENT: Final = "PackageBaseAddress/3.0.0"
_INDEX_BYTES: Final = 1 << 20
_HASH_BYTES: Final = 1024
_TRIES: Final = 3
_PAUSE: Final = 0.5
_BASE_HOLDS: Final = 300.0


class Feed:
    """A NuGet v3 feed."""

    def __init__(self, web: Web, most: int) -> None:
        """``most``: bytes of the largest package that is fetched."""
        self._web = web
        self._most = most
        self._base: tuple[str, float] | None = None

    def download(self, nuget_id: str, version: str, into: Path, beat: Callable[[int], None]) -> Path:
        """The package of an id and a normal version, put into a folder. Raises ``Absent`` and ``Outage``.

        A feed that offers the SHA-512 of the file is held to it.
        """
        path = into / f"{nuget_id}.{version}.nupkg"
        low, number = nuget_id.lower(), version.lower()
        for left in range(_TRIES, 0, -1):
            try:
                address = urljoin(self._base_address(beat), f"{low}/{number}/{low}.{number}.nupkg")
                with path.open("wb") as file:
                    self._web.get(address, file, most=self._most, beat=beat)
                self._must_have_digest(path, address + ".sha512", beat)
            except Outage:
                if left == 1:
                    raise
                time.sleep(_PAUSE * 2 ** (_TRIES - left))
                beat(0)
            else:
                break
        return path

    def reach(self) -> None:
        """See whether there is a feed at all. Raises ``Absent`` and ``Outage``."""
        self._base_address(lambda _: None)

    def _base_address(self, beat: Callable[[int], None]) -> str:
        if self._base is not None and time.monotonic() < self._base[1]:
            return self._base[0]
        try:
            index = json.loads(self._small(self._web.home, _INDEX_BYTES, beat))
            base = _of_type(index, _CONTENT)
        except Absent as absent:
            raise Absent(f"The NuGet feed has no service index. {absent.reason}") from None
        except ValueError:
            base = None
        if base is None:
            raise Absent(f"What PACKHOUSE_NUGET_INDEX names is no service index with {_CONTENT}.")
        base = urljoin(self._web.home, base.rstrip("/") + "/")
        self._base = (base, time.monotonic() + _BASE_HOLDS)
        return base

    def _small(self, address: str, most: int, beat: Callable[[int], None]) -> bytes:
        content = io.BytesIO()
        self._web.get(address, content, most=most, beat=beat)
        return content.getvalue()

    def _must_have_digest(self, path: Path, address: str, beat: Callable[[int], None]) -> None:
        try:
            said = self._small(address, _HASH_BYTES, beat).decode("ascii", "replace").strip()
        except Absent:
            return
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha512").digest()
        if said not in (base64.b64encode(digest).decode(), digest.hex()):
            raise Outage("What the feed gave does not have the digest that it says.")


@dataclass(frozen=True)
class Folder:
    """NuGet packages that lie in a folder, or in its folder ``nuget``, under their usual names in any letter case."""

    path: str
    most: int

    def download(self, nuget_id: str, version: str, into: Path, beat: Callable[[int], None]) -> Path:
        """See ``Feed.download``."""
        wanted = f"{nuget_id}.{version}.nupkg"
        for place in (Path(self.path), Path(self.path) / "nuget"):
            for found in sorted(place.iterdir()) if place.is_dir() else ():
                if found.name.lower() == wanted.lower() and found.is_file():
                    return self._copy(found, into / wanted, beat)
        raise Absent("PACKHOUSE_RUNTIME_FOLDER has no such file.")

    def _copy(self, found: Path, target: Path, beat: Callable[[int], None]) -> Path:
        if found.stat().st_size > self.most:
            raise Absent(f"It is larger than {self.most} bytes.")
        with found.open("rb") as source, target.open("wb") as file:
            while chunk := source.read(1 << 20):
                file.write(chunk)
                beat(len(chunk))
        return target


def _of_type(index: Any, kind: str) -> str | None:
    """The address of the first resource of a type in a service index."""
    resources = index.get("resources") if isinstance(index, dict) else None
    for resource in resources if isinstance(resources, list) else ():
        if not isinstance(resource, dict):
            continue
        kinds = resource.get("@type")
        address = resource.get("@id")
        if isinstance(address, str) and (kinds == kind or (isinstance(kinds, list) and kind in kinds)):
            return address
    return None
