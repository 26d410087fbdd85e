"""The worker's application with a packager that goes the way of every packager, and makes nothing."""

from __future__ import annotations

from packhouse.worker.app import app
from packhouse.worker.packagers.base import PackageJob, Plan, Poured
from packhouse.worker.packagers.zipfile import ZipfilePackager


class Stub:
    """A package without a file."""

    plan_type = Plan

    def plan(self, job: PackageJob) -> Plan:
        job.progress.stage("looking")
        return Plan(destination=job.tag)

    def pour(self, job: PackageJob, plan: Plan) -> Poured:
        job.progress.stage("writing")
        job.progress.commit()
        return Poured(path=plan.destination)

    def discard(self, job: PackageJob, plan: Plan) -> None:
        """There is nothing to remove."""


for name in ("plan_type", "plan", "pour", "discard"):
    setattr(ZipfilePackager, name, getattr(Stub, name))

__all__ = ["app"]
