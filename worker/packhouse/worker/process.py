"""The one context of this process, made when it is first asked for.

The identity is fixed in the worker's main process before it forks, so that all its processes share it.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any, Final, NoReturn

from packhouse.schemas.errors import PackhouseError
from packhouse.worker.azure.access import Azure
from packhouse.worker.context import Context
from packhouse.worker.identity import Identity
from packhouse.worker.ledger import Ledger, Wake, connect
from packhouse.worker.models import guarded
from packhouse.worker.parent import die_with
from packhouse.worker.runtimes.store import RuntimeStore
from packhouse.worker.storage.blob.copies import BlobCopies
from packhouse.worker.storage.cache_folder import cache_folder
from packhouse.worker.storage.known import KnownDigests
from packhouse.worker.storage.local import Roots
from packhouse.worker.storage.storage import Storage

WRONG_SETTINGS: Final = 5
"""Exit status of a process that must not work as it is set up, the same as that of the commands."""

_identity: list[Identity] = []


def become_worker(name: str) -> None:
    """This process is the main process of a worker of that name."""
    _identity[:] = [Identity.of_worker(name)]


def identity() -> Identity:
    """Who this process belongs to."""
    if not _identity:
        become_worker(f"process-{os.getpid()}")
    return _identity[0]


def context() -> Context:
    """Settings and connections of this process. A forked process gets its own."""
    return _context_of(os.getpid())


@cache
def _context_of(_pid: int) -> Context:
    from packhouse.worker.app import app

    settings = app.settings
    ledger = Ledger(connect(settings.redis_url), settings)
    azure = Azure(settings)
    cache = cache_folder(settings.cache_dir)
    copies = BlobCopies(cache / "blobs", settings.blob_cache_bytes) if settings.blob_cache_bytes else None
    return Context(
        settings=settings,
        ledger=ledger,
        storage=Storage(Roots(settings.roots), azure.blobs, copies=copies),
        azure=azure,
        identity=identity(),
        runtimes=RuntimeStore(settings),
        digests=KnownDigests(cache / "digests"),
        wake=send,
    )


def send(wakes: Sequence[Wake]) -> None:
    """Put wake-up calls into their Celery queues. A failure is told, not raised: recovery wakes the jobs again."""
    from packhouse.worker.app import app

    if wakes:
        app.wake(wakes)


def die_with_parent(**_: Any) -> None:
    """Let the kernel end this pool process when its worker is killed, so that none is left behind."""
    die_with(int(identity().main.partition("@")[0]))


def keep_ready(**_: Any) -> None:
    """What a pool process keeps at hand for its jobs."""
    guarded.keep_ready()


def tell(error: PackhouseError) -> None:
    """Say on standard error why this process ends."""
    sys.stderr.write(f"error [{error.code}]: {error.message}\nfix: {error.fix}\n")
    sys.stderr.flush()


def end_now(error: PackhouseError) -> NoReturn:
    """End the worker from any of its threads; the kernel ends its pool."""
    tell(error)
    logging.shutdown()
    os._exit(WRONG_SETTINGS)
