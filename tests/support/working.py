"""What workers do, done in the process of the test."""

from __future__ import annotations

from packhouse.worker import service
from packhouse.worker.azure.access import Azure
from packhouse.worker.context import Context
from packhouse.worker.identity import Identity
from packhouse.worker.intake.reader import RunQueueReader
from packhouse.worker.ledger import RANK_JOB, Ledger, Wake, connect
from packhouse.worker.runtimes.store import RuntimeStore
from packhouse.worker.settings import Settings
from packhouse.worker.storage.local import Roots
from packhouse.worker.storage.storage import Storage


def context_here(settings: Settings, wakes: list[Wake]) -> Context:
    """What a worker's process works with, in this one. Wake-ups go into the list."""
    azure = Azure(settings)
    return Context(
        settings=settings,
        ledger=Ledger(connect(settings.redis_url), settings),
        storage=Storage(Roots(settings.roots), azure.blobs),
        azure=azure,
        identity=Identity.of_worker("here@test"),
        runtimes=RuntimeStore(settings),
        wake=wakes.extend,
    )


def work_here(settings: Settings) -> None:
    """Do in this process all that workers would: take in what is in the run queue, rank it, package it."""
    wakes: list[Wake] = []
    context = context_here(settings, wakes)
    with context.ledger.redis, connect(settings.redis_url, decode=False) as redis:
        reader = RunQueueReader(redis, context)
        reader.join()
        while reader.read(1):
            pass
        for wake in wakes:  # grows meanwhile: a ranked run wakes its packages
            if wake.job == RANK_JOB:
                service.run_finished(context, wake.run)
            else:
                service.package(context, wake.run, wake.job)
