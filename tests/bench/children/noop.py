"""A bare Celery application, configured as ours is, with tasks that do nothing of their own."""

from __future__ import annotations

import json
import os

from celery import Celery
from redis import Redis

URL = os.environ["BENCH_REDIS_URL"]
redis = Redis.from_url(URL)
app = Celery("noop", broker=URL)
app.conf.update(json.loads(os.environ["BENCH_CELERY"]))


@app.task(name="noop")
def noop(tell: str | None = None) -> None:
    """Say, where that is asked for, that this task's turn came."""
    if tell:
        redis.rpush(tell, "done")


@app.task(name="calls")
def calls(count: int, tell: str | None = None) -> None:
    """Call the server so often, for a script that does nothing."""
    for _ in range(count):
        redis.eval("return 1", 0)
    noop(tell)
