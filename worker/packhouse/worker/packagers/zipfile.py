"""The packaging type ``Zipfile``: all candidates of a run in one ZIP in the run's ``output_dir``."""

from __future__ import annotations

from typing import Final

from packhouse.schemas.base import Document
from packhouse.schemas.errors import ErrorCode, TransientError
from packhouse.schemas.files import MANIFEST, Manifest
from packhouse.schemas.status import Replaced
from packhouse.worker.faultpoints import reach
from packhouse.worker.package.directories import engine_directories
from packhouse.worker.package.manifest import Sized, manifest_bytes, manifest_head, package_digest
from packhouse.worker.package.report import REPORT
from packhouse.worker.package.scrub import Scrubber
from packhouse.worker.package.tree import CachedFile, Made, ModelFile, PackageTree
from packhouse.worker.packagers.base import PackageJob, Plan, Poured
from packhouse.worker.packagers.destination import destination_of
from packhouse.worker.packagers.digests import digesting
from packhouse.worker.packagers.zip_contents import contents_of
from packhouse.worker.storage.deflating import worth_deflating, worth_deflating_bytes
from packhouse.worker.storage.digest import FileDigest
from packhouse.worker.storage.readable import Readable, must_be_as_planned
from packhouse.worker.storage.zip_writer import ZipWriter

_FOR_HEADERS: Final = 400
"""Bytes that an entry's headers may take beside its data; for the estimate of the whole file only."""


class PlannedSource(Document, frozen=True):
    """A model file as it was when the plan was made. ``shown`` is its path in the event's view."""

    shown: str
    size: int
    mark: str


class PlannedRuntime(Document, frozen=True):
    """A runtime package, as ``CachedFile`` has it."""

    sha256: str
    size: int
    origin: str


class PlannedFile(Document, frozen=True):
    """A file of the package: one of ``made``, its text; ``source``, a file of a model; ``runtime``, one fetched."""

    path: str
    made: str | None = None
    source: PlannedSource | None = None
    runtime: PlannedRuntime | None = None
    deflate: bool

    @property
    def size(self) -> int:
        """Bytes when unpacked."""
        reference = self.source or self.runtime
        return reference.size if reference else len((self.made or "").encode())


class ZipfilePlan(Plan, frozen=True):
    """Everything that the bytes of a ZIP depend on, beside the bytes of the models.

    No path of this worker is in it: another worker may have the storage elsewhere.
    """

    name: str
    """Of the ZIP, in the run's ``output_dir``."""
    files: list[PlannedFile]
    """In the order of their paths, without the manifest."""
    manifest: Manifest
    """Without its files."""
    models: list[str]
    """Folders of the candidates, best first."""
    warnings: list[str] = []
    replaced: Replaced | None
    """What lay in the place of the ZIP when the plan was made."""


class ZipfilePackager:
    """Makes ``<output_dir>/<name>.zip``, and ``<name>.report.html`` beside it: the very page that is in the ZIP."""

    plan_type = ZipfilePlan

    def plan(self, job: PackageJob) -> ZipfilePlan:
        """Find and try every candidate, and write every text. Of disk, a missing ``output_dir`` and the cache are made.

        Raises ``PermanentError`` and ``TransientError``.
        """
        scrub = Scrubber(engine_directories(job.event, job.mapping))
        name = f"{job.config.name}.zip"
        contents = contents_of(job, scrub)
        with destination_of(job, name) as place:
            destination, replaced = place.key, place.replaced()
        return ZipfilePlan(
            destination=destination,
            name=name,
            files=_planned(job, contents.tree),
            manifest=manifest_head(
                job.run, job.event, job.config, job.ranking, scrub, contents.checks, contents.unavailable
            ),
            models=contents.models,
            warnings=contents.warnings,
            replaced=replaced,
        )

    def pour(self, job: PackageJob, plan: ZipfilePlan) -> Poured:
        """Write the ZIP where nobody sees it, and then publish it. Each model file is read once.

        It is digested on the way, where no process of this machine has done so before.

        Raises ``PermanentError`` (``model_changed``, ``disk_full``, …) and ``TransientError``.
        """
        shown = job.locate(job.event.output_dir).child(plan.name).shown
        total = sum(file.size for file in plan.files)
        with destination_of(job, plan.name) as place:
            job.progress.stage("writing", total)
            entries = len(plan.files) + 1
            needed = total + _FOR_HEADERS * entries
            with place.published(needed=needed, entries=entries, confirm=job.progress.commit) as sink:
                reach("zip.begun")
                pouring = _Pouring(job, ZipWriter(sink))
                manifest = pouring.pour(plan)
                size = pouring.finish()
                reach("zip.poured")
            reach("zip.renamed")
        _publish_report(job, plan)
        return Poured(
            path=shown,
            bytes=size,
            files=len(plan.files) + 1,
            digest=package_digest(manifest),
            models=tuple(plan.models),
            replaced=plan.replaced,
            checks=tuple(plan.manifest.checks),
            warnings=tuple(plan.warnings),
        )

    def discard(self, job: PackageJob, plan: ZipfilePlan) -> None:
        """Remove unfinished ZIPs and reports of this job. Raises as ``pour`` does."""
        for name in (plan.name, _report_of(job)):
            with destination_of(job, name) as place:
                place.discard()


class _Pouring:
    """One ZIP being written."""

    def __init__(self, job: PackageJob, writer: ZipWriter) -> None:
        self._job = job
        self._writer = writer
        self._known: dict[str, FileDigest] = {}

    def pour(self, plan: ZipfilePlan) -> bytes:
        """Write every file in the order of the paths, the manifest among them; returns the manifest."""
        sizes = {file.path: Sized.of(file.made.encode()) for file in plan.files if file.made is not None}
        for file in plan.files:
            if file.path < MANIFEST:
                sizes[file.path] = self._add(file)
        manifest = manifest_bytes(plan.manifest, sizes)
        self._writer.add_bytes(MANIFEST, manifest, deflate=True)
        for file in plan.files:
            if file.path > MANIFEST:
                self._add(file)
        return manifest

    def finish(self) -> int:
        """Write the directory of the archive; returns the bytes of the whole."""
        return self._writer.finish()

    def _add(self, file: PlannedFile) -> Sized:
        if file.source is None and file.runtime is None:
            data = (file.made or "").encode()
            digest = self._writer.add_bytes(file.path, data, deflate=file.deflate)
            self._job.progress.advance(len(data))
            return Sized(digest.size, digest.sha256)
        with self._opened(file) as source, digesting(self._job, source) as mine:
            digest = self._writer.add_file(
                file.path,
                source,
                deflate=file.deflate,
                known=mine.known or self._known.get(source.real),
                advance=self._advance,
            )
            mine.settle(digest)
            self._known[source.real] = digest
        if file.runtime is not None and file.runtime.sha256 != digest.sha256:
            raise TransientError(
                ErrorCode.RUNTIME_UNAVAILABLE,
                f"{file.path} changed in the worker's cache while it was being packed.",
                fix="Leave the cache folder to Packhouse; packaging is tried again by itself.",
            )
        return Sized(digest.size, digest.sha256)

    def _advance(self, count: int) -> None:
        self._job.progress.advance(count)
        reach("zip.writing")

    def _opened(self, file: PlannedFile) -> Readable:
        """A model file or a runtime package, seen to be the planned one."""
        if file.runtime is not None:
            return self._job.runtimes.open(
                CachedFile(file.runtime.sha256, file.runtime.size, file.runtime.origin), self._job.progress.advance
            )
        if file.source is None:
            raise ValueError(f"{file.path} refers to nothing")
        source = self._job.storage.open_file(self._job.locate(file.source.shown))
        try:
            must_be_as_planned(source, file.source.size, file.source.mark)
        except BaseException:
            source.__exit__(None, None, None)
            raise
        return source


def _publish_report(job: PackageJob, plan: ZipfilePlan) -> None:
    """Put the report beside the ZIP, which is there by now: whoever looks at one of them finds both."""
    page = next((file.made or "" for file in plan.files if file.path == REPORT), "").encode()
    with (
        destination_of(job, _report_of(job)) as place,
        place.published(needed=len(page), entries=1, confirm=job.progress.commit) as sink,
    ):
        sink.write(page)


def _report_of(job: PackageJob) -> str:
    return f"{job.config.name}.{REPORT}"


def _planned(job: PackageJob, tree: PackageTree) -> list[PlannedFile]:
    deflate: dict[str, bool] = {}
    files: list[PlannedFile] = []
    for path, entry in tree.items():
        if isinstance(entry, Made):
            files.append(PlannedFile(path=path, made=entry.data.decode(), deflate=worth_deflating_bytes(entry.data)))
            continue
        if isinstance(entry, CachedFile):
            runtime = PlannedRuntime(sha256=entry.sha256, size=entry.size, origin=entry.origin)
            files.append(PlannedFile(path=path, runtime=runtime, deflate=False))
            continue
        if path > MANIFEST:
            raise ValueError(f"{path}: a model file must come before the manifest, which holds its digest")
        shown = entry.location.shown
        if shown not in deflate:
            deflate[shown] = _worth_deflating(job, entry)
        source = PlannedSource(shown=shown, size=entry.size, mark=entry.mark)
        files.append(PlannedFile(path=path, source=source, deflate=deflate[shown]))
    return files


def _worth_deflating(job: PackageJob, entry: ModelFile) -> bool:
    with job.storage.open_file(entry.location) as file:
        return worth_deflating(file)
