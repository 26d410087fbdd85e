"""The manifest, and whether the files of a package are those that it lists."""

from __future__ import annotations

from collections import Counter
from typing import Final

from pydantic import BaseModel

from packhouse.schemas.files import MANIFEST
from packhouse.worker.verify.container import UNREADABLE, named
from packhouse.worker.verify.contents import Contents, Found, counted, sized

NEWEST_FORMAT: Final = 2
"""The newest format of packages that is known here."""
COMPLETE_SINCE: Final = 2
"""The format from which on a package says what came of trying its models, and has a report."""


class _Head(BaseModel):
    """Of a manifest of any format, what all have."""

    format: int = 1


def check_manifest(contents: Contents) -> Found:
    """Read ``manifest.json``; that of a format from the future is not read on."""
    head, faults = contents.document(MANIFEST, _Head)
    if head is not None and head.format > NEWEST_FORMAT:
        newer = f"the package has format {head.format}, and this version of Packhouse knows formats up to"
        return Found([f"{newer} {NEWEST_FORMAT}: verify it with the version that wrote it, or a later one"])
    faults = faults or contents.read_manifest()
    manifest = contents.manifest
    if manifest is None:
        return Found(faults)
    if manifest.format < 1:
        faults.append(f"there is no format {manifest.format}")
    written = f"format {manifest.format}, written by Packhouse {manifest.packhouse}"
    return Found(faults, written)


def check_presence(contents: Contents) -> Found:
    """Whether the paths of the manifest and those of the package are the same."""
    listed = [file.path for file in contents.need_manifest().files]
    present, wanted = set(contents.container.sizes) - {MANIFEST}, set(listed)
    findings = [
        *(f"{named(path)} is listed twice in the manifest" for path, count in Counter(listed).items() if count > 1),
        *(f"{named(path)} is missing" for path in sorted(wanted - present)),
        *(f"{named(path)} is not in the manifest" for path in sorted(present - wanted)),
    ]
    return Found(findings, counted(len(present), "file"))


def check_digests(contents: Contents) -> Found:
    """Read every file that is listed and there."""
    container = contents.container
    files = [file for file in contents.need_manifest().files if file.path in container.sizes]
    contents.watcher.stage("digests", sum(container.sizes[file.path] for file in files))
    findings: list[str] = []
    total = 0
    for file in files:
        try:
            size, digest = container.digest(file.path, contents.watcher.advance)
        except UNREADABLE as error:
            findings.append(f"{named(file.path)} cannot be read: {error}")
            continue
        total += size
        if size != file.size:
            findings.append(f"{named(file.path)} has {size} bytes, not {file.size}")
        elif digest != file.sha256:
            findings.append(f"{named(file.path)} has another sha256 than the manifest says")
    return Found(findings, sized(total))
