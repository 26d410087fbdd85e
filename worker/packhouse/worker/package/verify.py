"""Whether a package is what it claims to be: every law that a ZIP of ours keeps, checked from the outside."""

from __future__ import annotations

import hashlib
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from packhouse.schemas.base import Digest, Document
from packhouse.schemas.errors import explain
from packhouse.schemas.files import CANDIDATES, MANIFEST, MODELS_RANK, Manifest, ModelsRank, RankEntry
from packhouse.worker.package.archive import UNREADABLE, Archive
from packhouse.worker.package.verify_candidate import candidate_faults, folder_of, main_file
from packhouse.worker.package.verify_models import Watcher, model_faults

_Model = TypeVar("_Model", bound=BaseModel)

_SOUND: Final = "is a sound ZIP file with safe paths"
_EXTENSIONS: Final = "use_ort_extensions"


class Check(Document, frozen=True):
    """One law, and whether the package keeps it."""

    name: str
    state: Literal["ok", "failed", "skipped"]
    message: str
    findings: list[str] = []
    """Each thing that is wrong, in a sentence."""


class Report(Document, frozen=True):
    """What came of verifying a package."""

    package: str
    ok: bool
    digest: Digest | None
    """Digest of the manifest, as in the status of the package."""
    bytes: int
    files: int
    checks: list[Check]


def verify(path: Path, *, shown: str, watcher: Watcher) -> Report:
    """Check a ZIP: its structure, every digest, the rank file, each candidate's folder, and that each model loads.

    A file that is no ZIP or not whole is a finding. Raises ``OSError`` where the file cannot be opened.
    """
    size = path.stat().st_size
    try:
        archive = Archive(path)
    except zipfile.BadZipFile as error:
        broken = Check(name="archive", state="failed", message=_SOUND, findings=[str(error)])
        return Report(package=shown, ok=False, digest=None, bytes=size, files=0, checks=[broken])
    with archive:
        verification = _Verification(archive, watcher)
        checks = verification.run()
        return Report(
            package=shown,
            ok=all(check.state != "failed" for check in checks),
            digest=verification.digest,
            bytes=size,
            files=len(archive.entries),
            checks=checks,
        )


class _Verification:
    def __init__(self, archive: Archive, watcher: Watcher) -> None:
        self._archive = archive
        self._watcher = watcher
        self._manifest: Manifest | None = None
        self._ranks: list[RankEntry] = []
        self.digest: Digest | None = None

    def run(self) -> list[Check]:
        steps: list[tuple[str, str, Callable[[], list[str]]]] = [
            ("archive", _SOUND, self._archive.faults),
            ("manifest", "manifest.json is there and valid", self._check_manifest),
            ("files", "holds the files of the manifest and no others", self._check_presence),
            ("digests", "every file has the size and sha256 of the manifest", self._check_digests),
            ("ranks", "models_rank.json is valid and its paths exist", self._check_ranks),
            ("candidates", "every candidate's folder is complete and valid", self._check_candidates),
            ("models", "every ONNX model loads", self._check_models),
        ]
        return [_check(name, law, step) for name, law, step in steps]

    def _check_manifest(self) -> list[str]:
        manifest, faults = self._document(MANIFEST, Manifest)
        if manifest is not None:
            self._manifest = manifest
            self.digest = "sha256:" + hashlib.sha256(self._archive.read(MANIFEST)).hexdigest()
        return faults

    def _check_presence(self) -> list[str]:
        listed = [file.path for file in self._need_manifest().files]
        present = set(self._archive.by_path) - {MANIFEST}
        return [
            *(f"{path!r} is listed twice in the manifest" for path, count in Counter(listed).items() if count > 1),
            *(f"{path!r} is missing" for path in sorted(set(listed) - present)),
            *(f"{path!r} is not in the manifest" for path in sorted(present - set(listed))),
        ]

    def _check_digests(self) -> list[str]:
        files = [file for file in self._need_manifest().files if file.path in self._archive.by_path]
        self._watcher.stage("digests", sum(file.size for file in files))
        faults: list[str] = []
        for file in files:
            try:
                size, digest = self._archive.digest(file.path, self._watcher.advance)
            except UNREADABLE as error:
                faults.append(f"{file.path!r} cannot be read: {error}")
                continue
            if size != file.size:
                faults.append(f"{file.path!r} has {size} bytes, not {file.size}")
            elif digest != file.sha256:
                faults.append(f"{file.path!r} has another sha256 than the manifest says")
        return faults

    def _check_ranks(self) -> list[str]:
        document, faults = self._document(MODELS_RANK, ModelsRank)
        if document is None:
            return faults
        self._ranks = document.root
        places = [entry.rank for entry in self._ranks]
        if places != list(range(1, len(places) + 1)):
            faults.append(f"the ranks are {places[:20]}, not 1 to {len(places)} in order")
        folders: set[str] = set()
        for entry in self._ranks:
            folder = folder_of(entry)
            if folder is None:
                faults.append(f"rank {entry.rank}: {entry.model.model_path!r} is not in a candidate's folder")
                continue
            if folder in folders:
                faults.append(f"rank {entry.rank}: {folder} has two ranks")
            folders.add(folder)
            try:
                main_file(entry, self._archive.by_path)
            except ValueError as error:
                faults.append(f"rank {entry.rank}: {error}")
        present = {"/".join(path.split("/")[:3]) for path in self._archive.by_path if path.startswith(CANDIDATES + "/")}
        faults += [f"{folder} has no rank" for folder in sorted(present - folders)]
        return faults

    def _check_candidates(self) -> list[str]:
        self._need_ranks()
        return [
            f"{folder}: {fault}"
            for entry in self._ranks
            if (folder := folder_of(entry)) is not None
            for fault in candidate_faults(entry, folder, self._archive.by_path, self._document)
        ]

    def _check_models(self) -> list[str]:
        self._need_ranks()
        models = [entry for entry in self._ranks if entry.model.is_onnx]
        if not models:
            raise _Skipped("no ONNX model is ranked")
        here = [entry for entry in models if not entry.model.config.get(_EXTENSIONS)]
        if not here:
            raise _Skipped("the models need onnxruntime-extensions, which are not loaded here")
        return list(model_faults(self._archive, here, self._need_manifest().digest_of_files(), self._watcher))

    def _document(self, path: str, model: type[_Model]) -> tuple[_Model | None, list[str]]:
        """A JSON file of the package, or what is wrong with it."""
        if path not in self._archive.by_path:
            return None, [f"{path!r} is missing"]
        try:
            return model.model_validate_json(self._archive.read(path)), []
        except ValidationError as error:
            return None, [f"{path}: {field or 'document'}: {sentence}" for field, sentence in explain(error)]
        except UNREADABLE as error:
            return None, [f"{path!r} cannot be read: {error}"]

    def _need_manifest(self) -> Manifest:
        if self._manifest is None:
            raise _Skipped("there is no valid manifest")
        return self._manifest

    def _need_ranks(self) -> None:
        if not self._ranks:
            raise _Skipped("no model is ranked")


class _Skipped(Exception):
    """A check that has nothing to look at; the text says why."""


def _check(name: str, law: str, step: Callable[[], list[str]]) -> Check:
    try:
        findings = step()
    except _Skipped as reason:
        return Check(name=name, state="skipped", message=f"not checked: {reason}")
    except UNREADABLE as error:
        findings = [f"it cannot be read: {error}"]
    return Check(name=name, state="failed" if findings else "ok", message=law, findings=findings)
