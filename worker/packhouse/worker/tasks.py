"""The two tasks. What they do is in ``service``."""

from __future__ import annotations

from redis.exceptions import RedisError

from packhouse.worker import process, service
from packhouse.worker.app import PACKAGE_TASK, RUN_FINISHED_TASK, app
from packhouse.worker.metrics.recorder import recorder


# A server that refuses (out of memory, read-only) is no defect: the job waits on, and recovery wakes it again.
@app.task(name=RUN_FINISHED_TASK, throws=(service.JobFailed, RedisError))
def run_finished(run_key: str) -> str:
    """Rank a run and start its packages."""
    with recorder().busy():
        return service.run_finished(process.context(), run_key)


@app.task(name=PACKAGE_TASK, throws=(service.JobFailed, RedisError))
def package(run_key: str, job: str) -> str:
    """Make one package of a run."""
    with recorder().busy():
        return service.package(process.context(), run_key, job)
