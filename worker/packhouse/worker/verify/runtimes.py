"""Whether ``ONNXRuntimePackages`` holds what its lock file says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from packhouse.schemas.files import LockedFile, ManifestFile, RuntimeLock
from packhouse.worker.package.tree import unsafe
from packhouse.worker.verify.container import named
from packhouse.worker.verify.contents import Contents, Found, Skipped, counted, sized

FOLDER: Final = "ONNXRuntimePackages"
LOCK: Final = f"{FOLDER}/packages.lock.json"

_NEWEST_FORMAT: Final = 1
_PACKAGES: Final = (".whl", ".nupkg", ".tar.gz", ".zip")
_SUFFIXES: Final = {"python": ".whl", "nuget": ".nupkg"}


def check_runtimes(contents: Contents) -> Found:
    """Compare the lock file with the files of the manifest, which ``digests`` has compared with what is there."""
    if not any(contents.below(FOLDER)):
        raise Skipped(f"the package has no {FOLDER}")
    listed = {file.path: file for file in contents.need_manifest().files}
    lock, findings = contents.document(LOCK, RuntimeLock)
    if lock is None:
        return Found(findings)
    if lock.format > _NEWEST_FORMAT:
        return Found([f"{LOCK} has format {lock.format}, which this version of Packhouse does not know"])
    twice = Counter(file.file for file in lock.files)
    findings += [f"{named(path)} is locked twice" for path, count in twice.items() if count > 1]
    for locked in lock.files:
        path = f"{FOLDER}/{locked.file}"
        findings += [f"{named(path)} {fault}" for fault in _faults(locked, listed.get(path))]
    packages = {path for path in contents.below(FOLDER) if path.endswith(_PACKAGES)}
    stray = packages - {f"{FOLDER}/{locked.file}" for locked in lock.files}
    findings += [f"{named(path)} is not in the lock file" for path in sorted(stray)]
    kinds = Counter(locked.kind for locked in lock.files)
    wheels, nuget = counted(kinds["python"], "wheel"), counted(kinds["nuget"], "NuGet package")
    notes = [f"{each.what} could not be had: {each.reason}" for each in lock.unavailable]
    return Found(findings, f"{wheels} and {nuget}, {sized(sum(file.size for file in lock.files))}", notes)


def _faults(locked: LockedFile, there: ManifestFile | None) -> Iterator[str]:
    if unsafe(locked.file) is not None:
        yield "is no safe path"
    elif there is None:
        yield "is locked and not there"
    elif there.size != locked.size:
        yield f"has {there.size} bytes, and the lock file says {locked.size}"
    elif there.sha256 != locked.sha256:
        yield "has another sha256 than the lock file says"
    if not locked.file.lower().endswith(_SUFFIXES[locked.kind]):
        yield f"is no file of kind {locked.kind}"
    elif not _named_after(locked):
        yield f"is not named after {locked.name[:100]} {locked.version[:100]}"


def _named_after(locked: LockedFile) -> bool:
    """Whether a file's name begins with its package's: ``<name>-<version>-…whl``, ``<id>.<version>.nupkg``."""
    name = _plain(locked.file.rpartition("/")[2])
    return name.startswith(_plain(f"{locked.name}-{locked.version}"))


def _plain(text: str) -> str:
    return text.lower().replace("_", "-").replace(".", "-")
