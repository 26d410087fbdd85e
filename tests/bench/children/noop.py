"""A bare Celery application with one task that does nothing but say, where it is asked to, that its turn came."""

from __future__ import annotations

import os

from celery import Celery
from redis import Redis

URL = os.environ["BENCH_REDIS_URL"]
redis = Redis.from_url(URL)
app = Celery("noop", broker=URL)
app.conf.update(task_ignore_result=True, task_default_queue="bench-noop", worker_hijack_root_logger=False)


@app.task(name="noop")
def noop(tell: str | None = None) -> None:
    if tell:
        redis.rpush(tell, "done")
