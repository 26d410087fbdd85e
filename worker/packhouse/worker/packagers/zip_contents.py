"""Everything that a ZIP holds beside its manifest: candidates, sample code, runtime packages, the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from packhouse.schemas.checks import ModelCheck
from packhouse.schemas.events import Package
from packhouse.schemas.files import Unavailable
from packhouse.worker.package.candidate import default_prefix
from packhouse.worker.package.layout import lay_out
from packhouse.worker.package.report import REPORT, report
from packhouse.worker.package.scrub import Scrubber
from packhouse.worker.package.tree import Entry, Made, PackageTree
from packhouse.worker.packagers.base import PackageJob
from packhouse.worker.packagers.prepared import Prepared, prepare
from packhouse.worker.runtimes.gather import Gathered, gather
from packhouse.worker.runtimes.wanted import needs
from packhouse.worker.samples.code import sample_code
from packhouse.worker.samples.model import SampleGraph, SampleModel


@dataclass(frozen=True)
class Contents:
    """What a ZIP is to hold, and what is to be said of it."""

    tree: PackageTree
    """Without the manifest."""
    models: list[str]
    """Folders of the candidates, best first."""
    checks: list[ModelCheck]
    unavailable: list[Unavailable]
    warnings: list[str]


def contents_of(job: PackageJob, scrub: Scrubber) -> Contents:
    """All parts of the package that the job asks for. Of disk, only the cache of runtime packages is written.

    Raises ``PermanentError`` and ``TransientError``.
    """
    prepared = prepare(job, scrub, default_prefix)
    runtimes = _runtimes(job, prepared) if job.config.include_runtime_packages else Gathered()
    others: dict[str, Entry] = dict(runtimes.entries)
    if job.config.include_sample_code and prepared:
        others |= sample_code(_sample_model(job, prepared[0]))
    folders = [each.folder for each in prepared]
    checks = [each.check for each in prepared]
    page = report(
        job.config.name,
        job.run,
        job.event,
        job.ranking,
        folders,
        [each.candidate for each in prepared],
        checks,
        runtimes.unavailable,
        scrub,
        others,
    )
    return Contents(
        tree=lay_out(folders, others, {REPORT: Made(page)}),
        models=[folder.prefix for folder in folders],
        unavailable=runtimes.unavailable,
        checks=checks,
        warnings=[*(text for each in prepared for text in each.warnings), *runtimes.warnings],
    )


def _runtimes(job: PackageJob, prepared: Sequence[Prepared]) -> Gathered:
    providers = [provider for each in prepared for provider in each.execution_providers]
    return gather(
        job.event,
        list(dict.fromkeys(providers)),
        generative=any(each.candidate.source.generative for each in prepared),
        extensions=any(each.needs_extensions for each in prepared),
        store=job.runtimes,
        progress=job.progress,
    )


def _sample_model(job: PackageJob, best: Prepared) -> SampleModel:
    source = best.candidate.source
    return SampleModel(
        folder=best.folder.prefix,
        type=best.candidate.model.type,
        graphs=tuple(
            SampleGraph(model.main, best.signatures[model.main], best.checked.by_model.get(model.main, {}))
            for model in source.onnx_models
        ),
        execution_providers=tuple(best.execution_providers),
        packages=_packages_of(job, best),
        use_ort_extensions=best.needs_extensions,
        generative=source.generative,
    )


def _packages_of(job: PackageJob, best: Prepared) -> tuple[Package, ...]:
    """What is installed to run the best candidate on what it prefers: two builds of ONNX Runtime do not get along."""
    wanted = needs(
        job.event.engine.runtime_packages,
        best.execution_providers[:1],
        generative=best.candidate.source.generative,
        extensions=best.needs_extensions,
    )
    return tuple(Package(name=each.name, version=str(each.version)) for one in wanted.sets for each in one.packages)
